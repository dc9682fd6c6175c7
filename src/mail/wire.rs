//! Commands and replies over one connection, each within its time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::str::FromStr as _;
use std::task::Poll;
use std::time::Duration;

use lettre::transport::smtp::response::Response;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use crate::provider::Stream;

/// How long each part of an exchange may take, the whole of a reply included.
///
/// The defaults are for a server of one's own or of a provider. RFC 5321 section 4.5.3.2 asks for
/// minutes towards strangers; the one that matters here is the reply to the final dot, because giving up on it
/// leaves the message in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking up the host and connecting; 10 s.
    pub connect: Duration,
    /// The server's greeting; 30 s.
    pub greeting: Duration,
    /// The TLS handshake; 30 s.
    pub tls: Duration,
    /// Each command up to DATA, with its reply; 60 s.
    pub command: Duration,
    /// Each 16 KiB of the message; 60 s.
    pub block: Duration,
    /// All of it together from the greeting until only the final dot is missing; 80 s.
    pub before_dot: Duration,
    /// The reply to the final dot; 300 s.
    pub dot: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            greeting: Duration::from_secs(30),
            tls: Duration::from_secs(30),
            command: Duration::from_secs(60),
            block: Duration::from_secs(60),
            before_dot: Duration::from_secs(80),
            dot: Duration::from_secs(300),
        }
    }
}

/// The longest line of a reply and the longest reply, in bytes. RFC 5321 section 4.5.3.1.5 allows
/// 512 a line.
const LINE_BYTES_MAX: usize = 2_048;
const REPLY_BYTES_MAX: usize = 64 * 1_024;
const BLOCK_BYTES: usize = 16 * 1_024;

/// Why no reply came.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("no reply within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("the server closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the server's reply is not SMTP")]
    Malformed,
    #[error(
        "the server's reply is longer than {REPLY_BYTES_MAX} bytes, a line of it than {LINE_BYTES_MAX}"
    )]
    TooLong,
    #[error("the server spoke out of turn")]
    OutOfTurn,
    #[error("the server answered {0}, which does not fit here")]
    Unexpected(u16),
}

pub(super) struct Wire {
    stream: Box<dyn Stream>,
    /// What was read and belongs to no reply yet.
    unread: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The stream, for TLS over it; see [`Self::expect_silence`].
    pub(super) fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }

    /// Sends a command line and reads the reply to it. A reply that was there before the command
    /// is none to it.
    pub(super) async fn command(
        &mut self,
        line: &str,
        limit: Duration,
    ) -> Result<Response, Broken> {
        self.expect_silence()?;
        within(limit, async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await?;
            self.read().await
        })
        .await
    }

    /// Reads a reply that no command asked for.
    pub(super) async fn greeting(&mut self, limit: Duration) -> Result<Response, Broken> {
        within(limit, self.read()).await
    }

    /// Sends the message's lines, block by block.
    pub(super) async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Broken> {
        for block in bytes.chunks(BLOCK_BYTES) {
            within(limit, async { Ok(self.stream.write_all(block).await?) }).await?;
        }
        within(limit, async { Ok(self.stream.flush().await?) }).await
    }

    /// That nothing was read beyond the last reply. Before TLS this is a must: what a stranger put
    /// into the clear connection would be taken for the server's word within TLS.
    pub(super) fn expect_silence(&self) -> Result<(), Broken> {
        if self.unread.is_empty() { Ok(()) } else { Err(Broken::OutOfTurn) }
    }

    /// That the server neither closed nor said anything, as far as this machine knows by now.
    pub(super) async fn expect_patience(&mut self) -> Result<(), Broken> {
        self.expect_silence()?;
        let mut byte = [0_u8; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        poll_fn(|context| {
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            Poll::Ready(match read {
                Poll::Pending => Ok(()),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(Broken::Closed),
                Poll::Ready(Ok(())) => Err(Broken::OutOfTurn),
                Poll::Ready(Err(error)) => Err(error.into()),
            })
        })
        .await
    }

    /// Says goodbye without waiting for an answer.
    pub(super) async fn quit(mut self) {
        let _ = within(Duration::from_secs(1), async {
            self.stream.write_all(b"QUIT\r\n").await?;
            Ok(self.stream.shutdown().await?)
        })
        .await;
    }

    /// All lines of one reply: `250-` goes on, `250 ` and a lone `250` end it.
    async fn read(&mut self) -> Result<Response, Broken> {
        let mut reply = String::new();
        loop {
            let mut line = self.line().await?;
            if line.len() < 3 || !line.as_bytes()[..3].iter().all(u8::is_ascii_digit) {
                return Err(Broken::Malformed);
            }
            if line.len() == 3 {
                line.push(' ');
            }
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            reply.push_str("\r\n");
            if reply.len() > REPLY_BYTES_MAX {
                return Err(Broken::TooLong);
            }
            if last {
                return Response::from_str(&reply).map_err(|_| Broken::Malformed);
            }
        }
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<String, Broken> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.unread) {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.unread.len() > LINE_BYTES_MAX {
                return Err(Broken::TooLong);
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(Broken::Closed);
            }
        }
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Broken>>,
) -> Result<T, Broken> {
    timeout(limit, work).await.map_err(|_| Broken::Timeout(limit))?
}

/// The message as DATA wants it: CRLF line ends only, a dot doubled where it begins a line, and
/// a line end last (RFC 5321 sections 2.3.8 and 4.5.2). The final dot is not part of it.
pub(super) fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(message.len() + message.len() / 64 + 2);
    let mut at = 0;
    while at < message.len() {
        let rest = &message[at..];
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        if rest[0] == b'.' {
            lines.push(b'.');
        }
        lines.extend_from_slice(&rest[..end]);
        lines.extend_from_slice(b"\r\n");
        at += end + if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_ends_the_message_or_begins_another() {
        for (message, lines) in [
            ("a\r\n.\r\nb", "a\r\n..\r\nb\r\n"),
            ("a\n.\nb\n", "a\r\n..\r\nb\r\n"),
            ("a\r.\rb\r\n", "a\r\n..\r\nb\r\n"),
            ("a\n.\r\nMAIL FROM:<x@shop.example>", "a\r\n..\r\nMAIL FROM:<x@shop.example>\r\n"),
            (".a\r\n..b\r\n", "..a\r\n...b\r\n"),
            ("a\r\n\r\n", "a\r\n\r\n"),
            ("\r\r\n\n", "\r\n\r\n\r\n"),
            ("", ""),
        ] {
            assert_eq!(
                String::from_utf8(stuffed(message.as_bytes())).unwrap(),
                lines,
                "{message:?}"
            );
        }
    }
}
