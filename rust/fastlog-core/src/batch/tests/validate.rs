use super::vectors;
use crate::batch::{AppendRules, BatchView, validate_for_append};

const NOW: i64 = 1_700_000_000_100;

#[test]
fn a_good_batch_is_left_as_it_is() {
    let bytes = vectors::bytes(vectors::PLAIN_THREE);
    let valid = validate_for_append(&bytes, &AppendRules::default(), NOW).unwrap();
    assert_eq!([&valid.header[..], &valid.body].concat(), bytes);
    assert_eq!(valid.max_timestamp, 1_700_000_000_005);
    assert_eq!(valid.offset_delta_of_max_timestamp, 1);
    assert_eq!(valid.log_append_time, -1);
    assert_eq!(valid.info, *BatchView::first(&bytes).unwrap().header());
    assert_eq!(valid.size(), bytes.len());
}
