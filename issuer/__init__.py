"""The OpenID Connect issuer of the local stack: seeded people of each role, passwords and one-time passwords. For development only.

It lets tests and `./millrace up` go through the same door as a plant with Keycloak or Entra does. It is not made for a network: it refuses
to listen on anything but the loopback interface, forgets codes when it stops, and its people are in a file that `up` makes.
"""
