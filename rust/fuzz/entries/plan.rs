//! Produce and Fetch requests: what parses must make sense, and can be answered.

use fastlog_core::wire::{
    FetchAnswer, FetchPlan, FetchRowAnswer, Frame, MAX_ROWS, NodeEndpoint, ProducePlan, ProduceRowResult,
    TopicRef, request_header,
};

/// The first byte moves the version, so that every input is tried close to every layout; the rest is a request
/// without its length prefix.
pub fn run(data: &[u8]) {
    let Some((shift, bytes)) = data.split_first() else {
        return;
    };
    let mut payload = bytes.to_vec();
    let _ = request_header(&payload);
    if let Some(version) = payload.get_mut(3) {
        *version = version.wrapping_add(*shift) % 20;
    }
    let frame = Frame::from(payload);
    if let Ok(plan) = ProducePlan::parse(frame.clone()) {
        answer_produce(&plan);
    }
    if let Ok(plan) = FetchPlan::parse(frame) {
        answer_fetch(&plan);
    }
}

fn endpoints() -> Vec<NodeEndpoint> {
    vec![NodeEndpoint {
        node_id: 1,
        host: "localhost".to_owned(),
        port: 9092,
        rack: None,
    }]
}

fn answer_produce(plan: &ProducePlan) {
    assert!(plan.rows().len() <= MAX_ROWS);
    assert!(plan.total_bytes() <= plan.frame().len());
    let _ = plan.transactional_id();
    let mut results = Vec::new();
    for row in plan.rows() {
        assert!(plan.topic(row).len() <= 32_767);
        results.push(ProduceRowResult {
            base_offset: plan.records(row).map_or(-1, |records| records.len() as i64),
            error_message: plan.records(row).is_none().then(|| "null records".to_owned()),
            current_leader: Some((1, row.partition)),
            ..ProduceRowResult::default()
        });
    }
    let response = plan
        .encode_response(&results, 0, &endpoints())
        .expect("one result per row");
    check(&response, plan.correlation_id());
}

fn answer_fetch(plan: &FetchPlan) {
    assert!(plan.rows().len() + plan.forgotten().len() <= MAX_ROWS);
    let _ = (plan.rack_id(), plan.cluster_id());
    for row in plan.forgotten() {
        plan.topic(row.topic);
    }
    let records: &[u8] = b"records";
    let topics: Vec<_> = plan
        .rows()
        .iter()
        .map(|row| match plan.topic(row.topic) {
            TopicRef::Name(name) => (name, [0; 16]),
            TopicRef::Id(id) => ("".into(), *id),
        })
        .collect();
    let rows: Vec<FetchRowAnswer<'_, &[u8]>> = plan
        .rows()
        .iter()
        .zip(&topics)
        .map(|(row, (topic, topic_id))| FetchRowAnswer {
            topic,
            topic_id: *topic_id,
            partition: row.partition,
            error_code: 0,
            high_watermark: row.fetch_offset,
            last_stable_offset: row.fetch_offset,
            log_start_offset: row.log_start_offset,
            diverging_epoch: Some((row.last_fetched_epoch, row.fetch_offset)),
            current_leader: Some((1, row.current_leader_epoch)),
            snapshot_id: None,
            aborted: Some(&[(7, 9)]),
            preferred_read_replica: -1,
            records: (row.partition % 2 == 0).then_some(records),
        })
        .collect();
    let answer = FetchAnswer {
        throttle_ms: 0,
        error_code: 0,
        session_id: plan.session_id(),
        rows: &rows,
        node_endpoints: &endpoints(),
    };
    let response = answer
        .encode(plan.version(), plan.correlation_id())
        .expect("small records");
    check(&response, plan.correlation_id());
}

/// The length prefix and the correlation id; the size was known beforehand.
fn check(response: &[u8], correlation_id: i32) {
    assert_eq!(response[..4], (response.len() as i32 - 4).to_be_bytes());
    assert_eq!(response[4..8], correlation_id.to_be_bytes());
}

/// Inputs to start from.
#[allow(dead_code)] // the short run starts from them, libFuzzer from its corpus
pub fn seeds() -> Vec<Vec<u8>> {
    include_str!("../../fastlog-core/tests/vectors/wire.txt")
        .lines()
        .filter(|line| line.contains(" request "))
        .filter_map(|line| line.rsplit(' ').next())
        .map(|hex| {
            let bytes = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
            let bytes = bytes.map(|pair| u8::from_str_radix(pair, 16).expect("hex"));
            std::iter::once(0).chain(bytes).collect()
        })
        .collect()
}
