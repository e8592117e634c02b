"""PostgreSQL: connections, its errors, arrays and binary COPY."""
