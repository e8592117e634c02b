-- Windows of the writer mark hours stale.

GRANT INSERT ON rollup_stale TO millrace_writer;
GRANT SELECT ON rollup_1h, rollup_stale TO millrace_writer;
