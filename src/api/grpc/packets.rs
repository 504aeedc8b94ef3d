//! Answers in messages that every client takes.

use prost::Message;

/// About so much is in one message. gRPC clients take 4 MiB if nobody tells them otherwise.
const PACKET_BYTES: usize = 1 << 20;

/// Divides the parts of an answer: so many in a row that they are about [`PACKET_BYTES`] together, at least one. One list, empty, if
/// there are none.
pub(super) fn packets<M: Message>(parts: Vec<M>) -> Vec<Vec<M>> {
    let mut packets = vec![Vec::new()];
    let mut bytes = 0;
    for part in parts {
        let mine = part.encoded_len();
        let is_first = packets.last().is_none_or(Vec::is_empty);
        if bytes + mine > PACKET_BYTES && !is_first {
            packets.push(Vec::new());
            bytes = 0;
        }
        bytes += mine;
        packets.last_mut().expect("there is a first").push(part);
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_hold_all_parts_in_order_and_no_more_than_they_should() {
        let of = |bytes: usize| "x".repeat(bytes);
        let sizes = [10, PACKET_BYTES / 2, PACKET_BYTES / 2, 3 * PACKET_BYTES, 1, 1];
        let divided = packets(sizes.map(of).to_vec());
        let told: Vec<Vec<usize>> =
            divided.iter().map(|packet| packet.iter().map(String::len).collect()).collect();
        let half = PACKET_BYTES / 2;
        assert_eq!(told, [vec![10, half], vec![half], vec![3 * PACKET_BYTES], vec![1, 1]]);
        assert_eq!(packets(Vec::<String>::new()), [Vec::<String>::new()]);
    }
}
