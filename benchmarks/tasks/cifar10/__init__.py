"""Small images of ten kinds of things: `cifar10/cnn`, its table `cifar10/cnn-table`, and `cifar10/program`."""
