"""The plant's model of work as files: what `./millrace work` reads and writes.

Reading order: `tables` (which tables, and what the database says of their columns), `csv_text` (a cell to a value and back), `importing`
(files to rows, all or nothing), `exporting`, `command`. The rules themselves are in the database: `historian/migrations`, from 0024 on.
"""
