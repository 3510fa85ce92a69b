"""The twin's GigE Vision camera: a real device on the network, in a program of our own."""
