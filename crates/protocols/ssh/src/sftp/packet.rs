//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02) with the extensions that OpenSSH's server has: what each asks for. A request
//! that is not known is no request that goes on.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use countersign_model::Access;

/// The longest packet; OpenSSH takes no longer ones.
pub(crate) const PACKET_BYTES_MAX: usize = 256 * 1024;
/// The longest path.
const PATH_BYTES_MAX: usize = 4096;
/// The longest handle (draft-ietf-secsh-filexfer-02, 6.3).
const HANDLE_BYTES_MAX: usize = 256;

/// Flags of `OPEN` (6.3).
const FLAG_READ: u32 = 1;
const FLAGS_KNOWN: u32 = 0x3f;

/// What a packet is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The version; the first packet.
    Hello,
    /// An action by path.
    Act(Act),
    /// Something with a file that was opened before.
    Follow {
        /// The request's number.
        id: u32,
        /// The file.
        handle: Bytes,
        /// What.
        step: Step,
    },
    /// A question without a path: limits of the server, names of users.
    Ask,
    /// Known to be a request, and not one that is let through.
    Refuse {
        /// The request's number.
        id: u32,
        /// Why not.
        why: &'static str,
    },
}

/// An action by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    /// The request's number.
    pub(crate) id: u32,
    /// The word for policy's record.
    pub(crate) kind: &'static str,
    /// What it does.
    pub(crate) access: Access,
    /// Its paths as written.
    pub(crate) paths: Vec<String>,
    /// True when the answer is a handle.
    pub(crate) opens: bool,
}

/// What is done with an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Close,
    /// From this offset.
    Read(u64),
    /// At this offset.
    Write(u64),
    /// Its attributes, or the next names of a folder.
    Look,
    /// Its attributes are set: only where it was opened for writing.
    Set,
    /// To the disk.
    Sync,
}

/// The next whole packet without its length, if there is one.
pub(crate) fn split(buf: &mut BytesMut) -> Result<Option<Bytes>, Broken> {
    let Some(Ok(length)) = buf.get(..4).map(<[u8; 4]>::try_from) else { return Ok(None) };
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > PACKET_BYTES_MAX {
        return Err(Broken("a packet of SFTP is empty or longer than 256 KiB"));
    }
    if buf.len() < 4 + length {
        return Ok(None);
    }
    Ok(Some(buf.split_to(4 + length).freeze()))
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u32, Broken> {
        self.0.try_get_u32().map_err(|_| Broken("a packet of SFTP is too short"))
    }

    fn long(&mut self) -> Result<u64, Broken> {
        self.0.try_get_u64().map_err(|_| Broken("a packet of SFTP is too short"))
    }

    fn bytes(&mut self, most: usize) -> Result<&'a [u8], Broken> {
        let n = self.number()? as usize;
        if n > most {
            return Err(Broken("a field of SFTP is too long"));
        }
        let (field, rest) = self.0.split_at_checked(n).ok_or(Broken("a packet of SFTP is too short"))?;
        self.0 = rest;
        Ok(field)
    }

    fn path(&mut self) -> Result<String, Broken> {
        let bytes = self.bytes(PATH_BYTES_MAX)?;
        if bytes.contains(&0) {
            return Err(Broken("a path of SFTP has a NUL"));
        }
        String::from_utf8(bytes.to_vec()).map_err(|_| Broken("a path of SFTP is not UTF-8"))
    }

    fn handle(&mut self) -> Result<Bytes, Broken> {
        self.bytes(HANDLE_BYTES_MAX).map(Bytes::copy_from_slice)
    }
}

/// Reads a client's packet, with its length.
pub(crate) fn read(packet: &[u8]) -> Result<Meaning, Broken> {
    let mut f = Fields(packet.get(4..).unwrap_or_default());
    let kind = f.0.try_get_u8().map_err(|_| Broken("a packet of SFTP is too short"))?;
    let id = f.number()?;
    let follow = |handle, step| Meaning::Follow { id, handle, step };
    let act = |kind, access, paths, opens| Meaning::Act(Act { id, kind, access, paths, opens });
    Ok(match kind {
        1 => Meaning::Hello,
        3 => {
            let path = f.path()?;
            let flags = f.number()?;
            if flags & !FLAGS_KNOWN != 0 || flags == 0 {
                return Ok(Meaning::Refuse { id, why: "the way to open the file is not known" });
            }
            let (kind, access) =
                if flags == FLAG_READ { ("sftp_read", Access::Read) } else { ("sftp_write", Access::Write) };
            act(kind, access, vec![path], true)
        }
        4 => follow(f.handle()?, Step::Close),
        5 => {
            let handle = f.handle()?;
            follow(handle, Step::Read(f.long()?))
        }
        6 => {
            let handle = f.handle()?;
            let offset = f.long()?;
            f.bytes(PACKET_BYTES_MAX)?;
            follow(handle, Step::Write(offset))
        }
        8 | 12 => follow(f.handle()?, Step::Look),
        10 => follow(f.handle()?, Step::Set),
        7 | 17 => act("sftp_stat", Access::Read, vec![f.path()?], false),
        9 => act("sftp_setstat", Access::Write, vec![f.path()?], false),
        11 => act("sftp_list", Access::Read, vec![f.path()?], true),
        13 => act("sftp_remove", Access::Write, vec![f.path()?], false),
        14 => act("sftp_mkdir", Access::Write, vec![f.path()?], false),
        15 => act("sftp_rmdir", Access::Write, vec![f.path()?], false),
        16 => act("sftp_realpath", Access::Read, vec![f.path()?], false),
        18 => act("sftp_rename", Access::Write, vec![f.path()?, f.path()?], false),
        19 => act("sftp_readlink", Access::Read, vec![f.path()?], false),
        20 => act("sftp_symlink", Access::Write, vec![f.path()?, f.path()?], false),
        200 => extended(id, &mut f)?,
        _ => Meaning::Refuse { id, why: "the request is not known" },
    })
}

fn extended(id: u32, f: &mut Fields<'_>) -> Result<Meaning, Broken> {
    let act = |kind, access, paths| Meaning::Act(Act { id, kind, access, paths, opens: false });
    Ok(match f.bytes(HANDLE_BYTES_MAX)? {
        b"posix-rename@openssh.com" => act("sftp_rename", Access::Write, vec![f.path()?, f.path()?]),
        b"hardlink@openssh.com" => act("sftp_hardlink", Access::Write, vec![f.path()?, f.path()?]),
        b"lsetstat@openssh.com" => act("sftp_setstat", Access::Write, vec![f.path()?]),
        b"statvfs@openssh.com" => act("sftp_stat", Access::Read, vec![f.path()?]),
        b"expand-path@openssh.com" => act("sftp_realpath", Access::Read, vec![f.path()?]),
        b"home-directory" => Meaning::Ask,
        b"limits@openssh.com" | b"users-groups-by-id@openssh.com" => Meaning::Ask,
        b"fstatvfs@openssh.com" => Meaning::Follow { id, handle: f.handle()?, step: Step::Look },
        b"fsync@openssh.com" => Meaning::Follow { id, handle: f.handle()?, step: Step::Sync },
        _ => Meaning::Refuse { id, why: "the request is not known" },
    })
}

/// What a server's packet tells of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A file was opened.
    Handle(u32, Bytes),
    /// It is over, with this code; 0 is success and 1 the end of a file.
    Status(u32, u32),
    /// Bytes of a file.
    Data(u32),
    /// Something else.
    Other(u32),
    /// The version.
    Hello,
}

/// Reads a server's packet, with its length.
pub(crate) fn read_answer(packet: &[u8]) -> Result<Answer, Broken> {
    let mut f = Fields(packet.get(4..).unwrap_or_default());
    let kind = f.0.try_get_u8().map_err(|_| Broken("a packet of SFTP is too short"))?;
    let id = f.number()?;
    Ok(match kind {
        2 => Answer::Hello,
        101 => Answer::Status(id, f.number()?),
        102 => Answer::Handle(id, f.handle()?),
        103 => {
            f.bytes(PACKET_BYTES_MAX)?;
            Answer::Data(id)
        }
        _ => Answer::Other(id),
    })
}

/// The answer to a request that does not go on: permission denied (draft-ietf-secsh-filexfer-02, 7).
pub(crate) fn denied(id: u32, why: &str) -> Bytes {
    const STATUS: u8 = 101;
    const PERMISSION_DENIED: u32 = 3;
    // Far within a packet, and so within what a length can say.
    let why: String = why.chars().take(1024).collect();
    let mut body = BytesMut::new();
    body.put_u8(STATUS);
    body.put_u32(id);
    body.put_u32(PERMISSION_DENIED);
    for field in [why.as_bytes(), b"en"] {
        body.put_u32(u32::try_from(field.len()).unwrap_or(0));
        body.put_slice(field);
    }
    let mut packet = BytesMut::new();
    packet.put_u32(u32::try_from(body.len()).unwrap_or(0));
    packet.unsplit(body);
    packet.freeze()
}

/// The bytes of a file that a `WRITE` or a `DATA` packet carries: what stands behind all other fields.
pub(crate) fn content(packet: &[u8]) -> &[u8] {
    let mut f = Fields(packet.get(4..).unwrap_or_default());
    let content = (|| {
        let write = f.0.try_get_u8().ok()? == 6;
        f.number().ok()?;
        if write {
            f.bytes(HANDLE_BYTES_MAX).ok()?;
            f.long().ok()?;
        }
        f.bytes(PACKET_BYTES_MAX).ok()
    })();
    content.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn packet(kind: u8, fields: &[&[u8]], tail: &[u8]) -> Bytes {
        let mut body = BytesMut::new();
        body.put_u8(kind);
        body.put_u32(7);
        for field in fields {
            body.put_u32(u32::try_from(field.len()).unwrap());
            body.put_slice(field);
        }
        body.put_slice(tail);
        let mut whole = BytesMut::new();
        whole.put_u32(u32::try_from(body.len()).unwrap());
        whole.put_slice(&body);
        whole.freeze()
    }

    #[test]
    fn adv_051_requests_are_read_with_their_paths() {
        for (kind, fields, tail, want) in [
            (3, vec![&b"/etc/hosts"[..]], &[0, 0, 0, 1, 0, 0, 0, 0][..], Some(("sftp_read", Access::Read, 1))),
            (3, vec![b"/x"], &[0, 0, 0, 0x1a, 0, 0, 0, 0], Some(("sftp_write", Access::Write, 1))),
            (3, vec![b"/x"], &[0, 0, 0, 3, 0, 0, 0, 0], Some(("sftp_write", Access::Write, 1))),
            (13, vec![b"/x"], &[], Some(("sftp_remove", Access::Write, 1))),
            (18, vec![b"/x", b"/y"], &[], Some(("sftp_rename", Access::Write, 2))),
            (200, vec![b"posix-rename@openssh.com", b"/x", b"/y"], &[], Some(("sftp_rename", Access::Write, 2))),
            (200, vec![b"copy-data", b"h"], &[], None),
            (3, vec![b"/x"], &[0, 0, 1, 1, 0, 0, 0, 0], None),
            (99, vec![], &[], None),
        ] {
            let got = match read(&packet(kind, &fields, tail)).unwrap() {
                Meaning::Act(a) => Some((a.kind, a.access, a.paths.len())),
                Meaning::Refuse { id: 7, .. } => None,
                other => panic!("{kind}: {other:?}"),
            };
            assert_eq!(got, want, "{kind}");
        }
        for broken in [packet(13, &[b"a\0b"], &[]), packet(13, &[b"\xff"], &[]), packet(13, &[], &[0, 0, 0, 9, 1])] {
            assert!(read(&broken).is_err());
        }
        assert!(read(&packet(13, &[&vec![b'x'; PATH_BYTES_MAX]], &[])).is_ok());
        assert!(read(&packet(13, &[&vec![b'x'; PATH_BYTES_MAX + 1]], &[])).is_err());
    }

    #[test]
    fn packets_are_the_same_wherever_they_are_cut() {
        let all = [packet(13, &[b"/a"], &[]), packet(6, &[b"h"], &[0; 12]), packet(1, &[], &[])].concat();
        for size in 1..all.len() {
            let (mut buf, mut got) = (BytesMut::new(), Vec::new());
            for chunk in all.chunks(size) {
                buf.put_slice(chunk);
                while let Some(p) = split(&mut buf).unwrap() {
                    got.extend_from_slice(&p);
                }
            }
            assert_eq!(got, all, "{size}");
        }
        let long = |n: usize| BytesMut::from(&u32::try_from(n).unwrap().to_be_bytes()[..]);
        assert!(split(&mut long(PACKET_BYTES_MAX)).is_ok());
        assert!(split(&mut long(PACKET_BYTES_MAX + 1)).is_err());
        assert!(split(&mut long(0)).is_err());
    }

    #[test]
    fn a_refusal_is_a_status_of_the_request() {
        assert_eq!(read_answer(&denied(7, "no")), Ok(Answer::Status(7, 3)));
    }
}
