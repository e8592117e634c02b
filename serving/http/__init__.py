"""HTTP face of the handlers: REST, server-sent events, WebSocket, downloads, the page; its JSON is the contract's messages."""
