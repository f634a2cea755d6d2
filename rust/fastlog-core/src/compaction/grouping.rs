//! Which neighbouring segments become one (Kafka: `Cleaner.groupSegmentsBySize`).

use crate::segment::MAX_SEGMENT_SIZE;

/// What counts about a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentShape {
    /// Its base offset.
    pub base_offset: i64,
    /// The offset at which the next one begins.
    pub end_offset: i64,
    /// Bytes of the log file.
    pub size: u64,
    /// Bytes of the offset index.
    pub offset_index_bytes: usize,
    /// Bytes of the time index.
    pub time_index_bytes: usize,
}

/// Cuts `segments`, neighbours in the order of their offsets, into groups; the result is the length of each.
///
/// Sizes before the cleaning count, so that a group always fits into one segment of at most `segment_bytes`
/// with indexes of at most `index_bytes`, and its offsets into 31 bits.
pub fn group(segments: &[SegmentShape], segment_bytes: u64, index_bytes: usize) -> Vec<usize> {
    let segment_bytes = segment_bytes.min(MAX_SEGMENT_SIZE);
    let mut groups: Vec<usize> = Vec::new();
    // Of the group that is growing; its shape ends where its last segment does.
    let mut open: Option<SegmentShape> = None;
    for segment in segments {
        open = match open {
            Some(mut so_far)
                if so_far.size + segment.size <= segment_bytes
                    && so_far.offset_index_bytes + segment.offset_index_bytes <= index_bytes
                    && so_far.time_index_bytes + segment.time_index_bytes <= index_bytes
                    // An empty segment has no offsets that would have to be held.
                    && (segment.size == 0
                        || segment.end_offset - 1 - so_far.base_offset <= i64::from(i32::MAX)) =>
            {
                so_far.size += segment.size;
                so_far.offset_index_bytes += segment.offset_index_bytes;
                so_far.time_index_bytes += segment.time_index_bytes;
                if let Some(last) = groups.last_mut() {
                    *last += 1;
                }
                Some(so_far)
            }
            _ => {
                groups.push(1);
                Some(*segment)
            }
        };
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(sizes: &[u64], offsets_each: i64) -> Vec<SegmentShape> {
        let shape = |(index, size): (usize, &u64)| SegmentShape {
            base_offset: index as i64 * offsets_each,
            end_offset: (index as i64 + 1) * offsets_each,
            size: *size,
            offset_index_bytes: 8,
            time_index_bytes: 12,
        };
        sizes.iter().enumerate().map(shape).collect()
    }

    #[test]
    fn groups_are_as_large_as_a_segment_may_be() {
        let segments = shapes(&[100, 50, 50, 1, 200, 0, 0, 120, 30], 10);
        assert_eq!(group(&segments, 200, 1000), [3, 1, 3, 2]);
        assert_eq!(group(&segments, 10, 1000), [1, 1, 1, 1, 1, 2, 1, 1]);
        assert_eq!(group(&segments, u64::MAX, 1000), [9]);
        assert_eq!(group(&[], 10, 10), [0_usize; 0]);
    }

    #[test]
    fn indexes_must_fit() {
        let segments = shapes(&[1; 7], 10);
        assert_eq!(group(&segments, 1000, 36), [3, 3, 1], "by the time index");
        let mut wide = segments;
        for segment in &mut wide {
            segment.offset_index_bytes = 20;
        }
        assert_eq!(group(&wide, 1000, 40), [2, 2, 2, 1], "by the offset index");
    }

    #[test]
    fn offsets_must_fit_into_31_bits() {
        let segments = shapes(&[1; 4], 1 << 30);
        assert_eq!(group(&segments, 1000, 1000), [2, 2]);
        let mut segments = shapes(&[1, 1, 0, 0, 0, 1], 1 << 30);
        assert_eq!(
            group(&segments, 1000, 1000),
            [5, 1],
            "empty ones join all the same"
        );
        segments[1].end_offset += 1;
        assert_eq!(group(&segments, 1000, 1000), [1, 4, 1], "one offset too many");
    }
}
