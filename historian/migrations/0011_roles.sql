-- Groups to grant to login roles. millrace_writer is the historian and the maintenance service, millrace_reader are analysts and serving.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['millrace_writer', 'millrace_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- roles belong to the whole cluster: another database made it
        END;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA public TO millrace_writer, millrace_reader;

-- Readers see the views for people and the tables behind no secret; never dirty queues or internal state.
GRANT SELECT ON telemetry, latest, aggregate, aggregate_1h, aggregate_1d, rejected, device, tag_definition, anomaly, command, lane, oee,
    samples, aggregates, aggregates_1h, aggregates_1d, verdicts, devices, device_paths, tags, cells, lines, areas, sites, gateways,
    device_events, gateway_health, gateway_status, lane_progress, ledger, ledger_minute, commands, registry_state TO millrace_reader;

-- The writer adds history and never rewrites it: no UPDATE or DELETE on samples.
GRANT millrace_reader TO millrace_writer;
GRANT INSERT ON samples, rejects, device_events, commands TO millrace_writer;
GRANT SELECT, INSERT, UPDATE ON ledger, ledger_minute, on_change_state, lane_latest, lane_progress, anomalies, gateway_health, gateway_status, aggregates TO millrace_writer;
GRANT SELECT ON rejects, storage_settings, partitions, schema_migrations TO millrace_writer;
GRANT SELECT, INSERT, DELETE ON dirty_ranges TO millrace_writer;

-- Functions answer with what the caller may see; only the one that makes partitions acts for the owner.
REVOKE EXECUTE ON FUNCTION ensure_partition FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partition TO millrace_writer;
