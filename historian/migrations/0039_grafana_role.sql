-- millrace_grafana: the login of dashboards. It reads what analysts read, changes nothing, and no statement of it holds the database for long.
-- It has no password, so nobody can log in with it before an administrator gives it one.

DO $$
BEGIN
    CREATE ROLE millrace_grafana LOGIN CONNECTION LIMIT 20;
    ALTER ROLE millrace_grafana SET default_transaction_read_only = on;
    ALTER ROLE millrace_grafana SET statement_timeout = '30s';
    ALTER ROLE millrace_grafana SET idle_in_transaction_session_timeout = '60s';
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- roles belong to the whole cluster: another database made it
END $$;
GRANT millrace_reader TO millrace_grafana;
