//! The known-answer frames.

/// One line of the vectors file.
#[derive(Debug, Clone)]
pub struct Vector {
    pub api: &'static str,
    pub direction: &'static str,
    pub version: i16,
    pub case: &'static str,
    /// The frame without its length prefix.
    pub payload: Vec<u8>,
}

impl Vector {
    /// The frame with its length prefix.
    pub fn framed(&self) -> Vec<u8> {
        let mut frame = (self.payload.len() as i32).to_be_bytes().to_vec();
        frame.extend(&self.payload);
        frame
    }

    /// The correlation id that the generator chose.
    pub fn correlation_id(&self) -> i32 {
        1000 * i32::from(self.version) + self.case.len() as i32
    }
}

pub fn all() -> Vec<Vector> {
    let lines = include_str!("../vectors/wire.txt").lines();
    lines.filter(|line| !line.starts_with('#')).map(parse).collect()
}

/// The vectors of one API and direction; never empty.
pub fn of(api: &str, direction: &str) -> Vec<Vector> {
    let found: Vec<Vector> = all()
        .into_iter()
        .filter(|vector| vector.api == api && vector.direction == direction)
        .collect();
    assert!(!found.is_empty());
    found
}

fn parse(line: &'static str) -> Vector {
    let fields: Vec<&str> = line.split(' ').collect();
    let [api, direction, version, case, hex] = fields[..] else {
        panic!("bad line {line}");
    };
    let payload = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    Vector {
        api,
        direction,
        version: version.parse().unwrap(),
        case,
        payload,
    }
}

/// Record bytes as the generator makes them.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((7 * at + len) % 256) as u8).collect()
}
