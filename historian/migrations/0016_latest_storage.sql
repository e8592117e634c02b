-- Written whole several times a second: compressing it each time costs more than it saves.

ALTER TABLE lane_latest
    ALTER COLUMN tag_ids SET STORAGE EXTERNAL,
    ALTER COLUMN times_us SET STORAGE EXTERNAL,
    ALTER COLUMN "values" SET STORAGE EXTERNAL,
    ALTER COLUMN qualities SET STORAGE EXTERNAL;
