"""How an older database becomes one of today: each step leads from one version of the schema to the next.

A step that was released is never changed: its tables are written out, not taken from today's schema.
"""

from typing import Final

# From version 1, which counted what the log told and nothing else.
_SOURCES_AND_OPERATORS: Final = """
ALTER TABLE messages ADD COLUMN created_is_known INTEGER NOT NULL DEFAULT 1;
ALTER TABLE messages ADD COLUMN status_at REAL NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN source TEXT NOT NULL DEFAULT 'log';
ALTER TABLE messages ADD COLUMN country TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE messages ADD COLUMN operator TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE messages ADD COLUMN reason TEXT;
ALTER TABLE messages ADD COLUMN code TEXT;
ALTER TABLE messages ADD COLUMN delivery_seconds REAL;
ALTER TABLE messages ADD COLUMN recipient BLOB NOT NULL DEFAULT x'';
DROP INDEX messages_by_age;
CREATE INDEX messages_by_age ON messages (target, created_at);
CREATE INDEX messages_waiting ON messages (target, created_at) WHERE status = 'sent';
ALTER TABLE latencies RENAME TO latencies_of_log;
CREATE TABLE latencies (
    target TEXT NOT NULL, country TEXT NOT NULL, operator TEXT NOT NULL, source TEXT NOT NULL,
    bucket INTEGER NOT NULL, total INTEGER NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (target, country, operator, source, bucket)
) WITHOUT ROWID;
INSERT INTO latencies SELECT target, country, operator, 'log', bucket, total, seconds FROM latencies_of_log;
DROP TABLE latencies_of_log;
CREATE TABLE readings (target TEXT PRIMARY KEY, reading TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO readings SELECT target, json_object('read_until', read_until) FROM logs;
DROP TABLE logs;
CREATE TABLE detectors (target TEXT PRIMARY KEY, journal_id INTEGER NOT NULL, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE verifications (
    target TEXT NOT NULL, id_hash BLOB NOT NULL, created_at REAL NOT NULL,
    PRIMARY KEY (target, id_hash)
) WITHOUT ROWID;
CREATE INDEX verifications_by_age ON verifications (target, created_at);
CREATE TABLE verification_hours (
    target TEXT NOT NULL, hour INTEGER NOT NULL, country TEXT NOT NULL, operator TEXT NOT NULL, result TEXT NOT NULL,
    total INTEGER NOT NULL, PRIMARY KEY (target, hour, country, operator, result)
) WITHOUT ROWID;
CREATE TABLE verification_counts (
    target TEXT NOT NULL, country TEXT NOT NULL, result TEXT NOT NULL, total INTEGER NOT NULL,
    PRIMARY KEY (target, country, result)
) WITHOUT ROWID;
CREATE TABLE typed_codes (target TEXT NOT NULL, recipient BLOB NOT NULL, at REAL NOT NULL);
CREATE TABLE attempt_readings (target TEXT PRIMARY KEY, read_until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE canaries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, day TEXT NOT NULL, recipient BLOB NOT NULL,
    sent_at REAL NOT NULL, busy_until REAL NOT NULL, cost REAL NOT NULL, currency TEXT NOT NULL,
    reason TEXT, detail TEXT, accepted REAL, sent REAL, delivered REAL, received REAL
);
CREATE INDEX canaries_by_day ON canaries (name, day);
CREATE INDEX canaries_by_recipient ON canaries (name, recipient, sent_at);
CREATE TABLE journal (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, input BLOB NOT NULL);
"""

# From version 2, which knew nothing of back offices.
_NOTES_AND_VERIFIER: Final = """
CREATE TABLE notes (name TEXT PRIMARY KEY, note TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE verifier_slots (
    target TEXT NOT NULL, slot INTEGER NOT NULL, step TEXT NOT NULL, total INTEGER NOT NULL,
    PRIMARY KEY (target, slot, step)
) WITHOUT ROWID;
CREATE TABLE verifier_counts (
    target TEXT NOT NULL, step TEXT NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (target, step)
) WITHOUT ROWID;
CREATE TABLE verifier_batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, batch BLOB NOT NULL, UNIQUE (target, batch)
);
CREATE INDEX verifier_batches_by_age ON verifier_batches (target, number);
"""

# From version 3, whose histograms had no bound at 30 s: the 14 bounds below it keep their numbers. What was counted
# between 27 and 33 s stays in the bucket up to 33.
_THIRTY_SECONDS: Final = """
CREATE TABLE latencies_before AS SELECT * FROM latencies;
DELETE FROM latencies;
INSERT INTO latencies
    SELECT target, country, operator, source, bucket + (bucket >= 14), total, seconds FROM latencies_before;
DROP TABLE latencies_before;
"""

# From version 4, whose histograms had no bounds at 150, 240 and 420 s. What was counted around them stays in the bucket
# of the next higher bound that there was.
_SLOW_CODES: Final = """
CREATE TABLE latencies_before AS SELECT * FROM latencies;
DELETE FROM latencies;
INSERT INTO latencies
    SELECT target, country, operator, source, bucket + (bucket >= 22) + (bucket >= 23) + (bucket >= 24), total, seconds
    FROM latencies_before;
DROP TABLE latencies_before;
"""

MIGRATIONS: Final = (_SOURCES_AND_OPERATORS, _NOTES_AND_VERIFIER, _THIRTY_SECONDS, _SLOW_CODES)
