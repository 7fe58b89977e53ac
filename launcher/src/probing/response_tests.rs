//! Tests of [`super`].

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

/// The status, and whether the body could be read; or nothing, where there is no head.
fn read(text: &str) -> Result<(u16, bool), String> {
    let mut from = text.as_bytes();
    let head = Head::read(&mut from).map_err(|error| error.to_string())?;
    Ok((head.status, head.read_body(&mut from).is_ok()))
}

#[test]
fn bodies_end_where_they_say() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n",
        // HTTP/1.0 has no chunks.
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk",
        "HTTP/1.1 200 \n\nbare line ends",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
    ] {
        assert_eq!(read(text), Ok((200, true)), "{text:?}");
    }
    for empty in [204, 304] {
        assert_eq!(
            read(&format!("HTTP/1.1 {empty} x\r\nContent-Length: 9\r\n\r\n")),
            Ok((empty, true))
        );
    }
}

#[test]
fn bodies_that_break_off_are_noticed() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        &format!("{chunked}5\r\nok"),
        &format!("{chunked}2\r\nok"),
        &format!("{chunked}2\r\nokay\r\n0\r\n\r\n"),
        &format!("{chunked}2\nok\r\n0\r\n\r\n"),
        &format!("{chunked}x\r\nok\r\n0\r\n\r\n"),
        &format!("{chunked}+2\r\nok\r\n0\r\n\r\n"),
        &format!("{chunked}0\r\n"),
        &format!("{chunked}0\r\nX\r\n\r\n"),
        &format!("{chunked}{}\r\n", "0".repeat(5000)),
        // Hardly any data, and no end of it.
        &format!(
            "{chunked}{}",
            format!("1;{}\r\na\r\n", "x".repeat(4000)).repeat(9)
        ),
    ] {
        assert_eq!(read(text), Ok((200, false)), "{text:?}");
    }
}

#[test]
fn no_more_of_a_body_is_read_than_the_kubelet_reads() {
    let long = "x".repeat(10 << 10);
    for text in [
        format!("HTTP/1.1 500 Oh\r\nContent-Length: 1000000\r\n\r\n{long}"),
        format!("HTTP/1.1 500 Oh\r\n\r\n{long}"),
        format!("HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n{long}"),
    ] {
        assert_eq!(read(&text), Ok((500, true)));
        // One byte less is a body that breaks off, but for one that ends with its connection.
        let ends = !text.contains("Length") && !text.contains("chunked");
        assert_eq!(read(&text[..text.len() - 1]), Ok((500, ends)));
    }
}

#[test]
fn informational_responses_go_before_the_final_one() {
    let text =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(read(text), Ok((200, true)));
    assert_eq!(read("HTTP/1.1 101 Switching\r\n\r\n"), Ok((101, true)));
    let endless = "HTTP/1.1 102 Processing\r\nX: y\r\n\r\n".repeat(400_000);
    assert!(read(&endless).unwrap_err().contains("too long"));
}

#[test]
fn what_is_no_http_is_malformed() {
    for text in [
        "",
        "\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "HTTP/11 200 OK\r\n\r\n",
        "HTTP/1.11 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n",
        "HTTP/1.1 200 OK\r\n x: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nä: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \u{1}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ] {
        assert!(read(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_first_location_counts() {
    let text = "HTTP/1.1 302 Found\r\nLOCATION:  /a \r\nLocation: /b\r\n\r\n";
    let head = Head::read(&mut text.as_bytes()).unwrap();
    assert_eq!(head.location.as_deref(), Some("/a"));
    let text = "HTTP/1.1 302 Found\r\nLocation:\r\n\r\n";
    assert_eq!(Head::read(&mut text.as_bytes()).unwrap().location, None);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), body in any::<Vec<u8>>()) {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for text in [bytes.clone(), [&chunked[..], &body].concat(), [&b"HTTP/1.1 200 OK\r\n"[..], &bytes].concat()] {
            let mut from = text.as_slice();
            if let Ok(head) = Head::read(&mut from) {
                let _ = head.read_body(&mut from);
            }
        }
    }
}
