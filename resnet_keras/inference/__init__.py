"""What a user does with a trained network: predict on pictures, export, publish."""
