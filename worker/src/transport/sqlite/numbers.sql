-- Announcements are numbered from the time on, in microseconds: when the file is lost and another is begun, its numbers
-- go on above those that listeners remember.
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'announcements', 0
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'announcements');
UPDATE sqlite_sequence
    SET seq = max(seq, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
    WHERE name = 'announcements';
