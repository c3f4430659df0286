"""`python -m resnet_keras`: the same as the command `resnet-keras`."""

from resnet_keras.cli import main

main()
