"""gRPC: servicers that translate, the gate every call passes, reflection."""
