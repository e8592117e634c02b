"""The front door: one tree of commands over the programs of all packages. Top of the layers; imports a program only to run it."""
