//! What may happen to a log, drawn at random.

use proptest::prelude::*;

#[derive(Debug, Clone)]
pub enum Op {
    Append {
        /// Key and whether it is a tombstone.
        records: Vec<(u8, bool)>,
        codec: usize,
        /// 0: none, 1 and 2: idempotent, 3 and 4: in a transaction.
        producer: i64,
    },
    EndTransaction {
        producer: i64,
        abort: bool,
    },
    Roll,
    Flush,
    Wait {
        ms: i64,
    },
    Compact {
        /// Slots of the map.
        slots: usize,
    },
    CompactAndCrash {
        /// Where, in parts of a thousand of the operations of the compaction.
        at: usize,
        power: bool,
    },
    DeleteRecords {
        back: i64,
    },
    Retain,
    Truncate {
        back: i64,
    },
    CloseAndOpen,
    KillAndOpen {
        /// Without `compact` in the configuration.
        policy_changed: bool,
        /// The recovery point is lost.
        from_start: bool,
    },
    PullThePlug,
}

pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let records = proptest::collection::vec((0..12_u8, proptest::bool::weighted(0.25)), 1..6);
    let op = prop_oneof![
        16 => (records, 0..5_usize, 0..5_i64)
            .prop_map(|(records, codec, producer)| Op::Append { records, codec, producer }),
        5 => (3..5_i64, any::<bool>()).prop_map(|(producer, abort)| Op::EndTransaction { producer, abort }),
        4 => Just(Op::Roll),
        1 => Just(Op::Flush),
        3 => (1..1500_i64).prop_map(|ms| Op::Wait { ms }),
        8 => prop_oneof![Just(1000_usize), 3..20_usize].prop_map(|slots| Op::Compact { slots }),
        2 => (0..1000_usize, any::<bool>()).prop_map(|(at, power)| Op::CompactAndCrash { at, power }),
        1 => (0..40_i64).prop_map(|back| Op::DeleteRecords { back }),
        1 => Just(Op::Retain),
        1 => (0..10_i64).prop_map(|back| Op::Truncate { back }),
        1 => Just(Op::CloseAndOpen),
        2 => (any::<bool>(), any::<bool>())
            .prop_map(|(policy_changed, from_start)| Op::KillAndOpen { policy_changed, from_start }),
        1 => Just(Op::PullThePlug),
    ];
    proptest::collection::vec(op, 1..70)
}
