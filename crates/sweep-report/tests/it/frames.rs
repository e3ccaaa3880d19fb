//! The exported data frame.

use sweep_report::{frame, write_csv, write_parquet};

use crate::fixture::{declaration, paper, rows};

#[test]
fn the_frame_has_every_measurement_and_the_numbers_of_the_paper() {
    let rows = rows();
    let mut frame = frame(&rows, &declaration(), &paper()).unwrap();
    assert_eq!(frame.height(), rows.measurements.len() + 2);
    let mut csv = Vec::new();
    write_csv(&mut frame, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "groups,run,seed,status,metric,split,form,epoch,value,source");
    assert!(lines[1].contains(",succeeded,accuracy,validation,training,1,"), "{}", lines[1]);
    assert_eq!(lines[lines.len() - 2], "2,,,,accuracy,test,deployed,,0.125,paper");
}

#[test]
fn parquet_is_written() {
    let mut parquet = Vec::new();
    write_parquet(&mut frame(&rows(), &declaration(), &paper()).unwrap(), &mut parquet).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}
