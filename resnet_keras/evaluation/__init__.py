"""What a trained network does: its error on a split."""
