CREATE TABLE runs(
  id INTEGER PRIMARY KEY, ring_identity INTEGER NOT NULL UNIQUE, next_index INTEGER NOT NULL, started_wall_ns INTEGER
  NOT NULL, line TEXT NOT NULL, classes TEXT NOT NULL, config_sha256 TEXT NOT NULL, version TEXT NOT NULL);
CREATE TABLE parts(
  run_id INTEGER, ring_index INTEGER, wall_ns INTEGER, part_id INTEGER, frame_id INTEGER, encoder_count INTEGER, triggered_ns INTEGER, budget_ns INTEGER, speed_um_per_s INTEGER, row_um_per_s INTEGER, class_id INTEGER, judged_class_id INTEGER, gate_class_id INTEGER, width INTEGER, height INTEGER, classifier_needs_ns INTEGER, classifier_left_ns INTEGER, looks INTEGER, frames INTEGER, bin INTEGER, rule INTEGER, verdict INTEGER, reason INTEGER, route INTEGER, judged_verdict INTEGER, final_verdict INTEGER, final_reason INTEGER, plc_result INTEGER, action INTEGER, frame_status INTEGER, exposure_end_ns INTEGER, received_ns INTEGER, started_ns INTEGER, gate_in_ns INTEGER, gate_out_ns INTEGER, classifier_in_ns INTEGER, classifier_out_ns INTEGER, decided_ns INTEGER, deadline_ns INTEGER, queued_ns INTEGER, sent_ns INTEGER, ack_ns INTEGER, confidence REAL, gate_good REAL, gate_defect REAL, gate_empty REAL, classifier_good REAL, classifier_defect REAL, second_good REAL, limit_gate_good REAL, limit_gate_defect REAL, limit_gate_empty REAL, limit_classifier_good REAL, limit_retest_good REAL, brightness_mean REAL, dark_share REAL, bright_share REAL, sharpness REAL, defect_size_mm REAL, defect_x REAL, defect_y REAL,
  PRIMARY KEY(run_id, ring_index)) WITHOUT ROWID;
CREATE INDEX parts_wall ON parts(wall_ns);
CREATE TABLE gaps(
  run_id INTEGER NOT NULL, first_index INTEGER NOT NULL, last_index INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
  PRIMARY KEY(run_id, first_index));
CREATE TABLE events(
  id INTEGER PRIMARY KEY, wall_ns INTEGER NOT NULL, run_id INTEGER, kind TEXT NOT NULL, text TEXT NOT NULL);
PRAGMA user_version = 1;
