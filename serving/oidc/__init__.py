"""People who sign in at an OpenID Connect issuer: their bearer tokens, and the browser's way to one (authorization code with PKCE)."""
