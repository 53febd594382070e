"""Small images of ten kinds of things: `cifar10/cnn` and `cifar10/program`."""
