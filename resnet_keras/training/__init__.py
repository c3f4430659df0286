"""How one run trains: recipe, schedule, optimizer, steps on a backend, checkpoints, the loop."""
