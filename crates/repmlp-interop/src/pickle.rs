//! Reads the part of Python's pickle format that `torch.save` writes. Nothing in a pickle is executed.
//!
//! All values are in one flat list and refer to each other by index. Reading and dropping therefore need no recursion,
//! and a repeated value is stored once. The memory for a pickle is at most a fixed multiple of its size.

use std::collections::BTreeMap;

/// Maximum size of a pickle in bytes. The pickle of a network with a thousand tensors has 200 kB.
pub(crate) const MOST_BYTES: u64 = 8 << 20;

/// Index of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u32);

/// A value. It refers to the values inside it by [`Id`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// An integer, or a Boolean as 0 or 1.
    Int(i64),
    /// A string.
    Text(&'a str),
    /// A class or function.
    Global { module: &'a str, name: &'a str },
    /// A tuple or a list.
    Sequence(Vec<Id>),
    /// Pairs of key and value in their order.
    Dict(Vec<(Id, Id)>),
    /// A call of a class or function, which is not executed.
    Call { callable: Id, arguments: Id },
    /// An object whose state was set.
    Built { state: Id },
    /// A reference to something outside the pickle, such as a storage.
    Persistent(Id),
    /// Any value that tensors do not need.
    Other,
}

/// The content of a pickle.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    /// The value that was pickled.
    pub(crate) root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle. The error says what is wrong with it.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine =
            Machine { rest: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self { values: machine.values, root })
    }

    /// Returns the value with this index.
    pub(crate) fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    pub(crate) fn text(&self, id: Id) -> Option<&'a str> {
        if let Value::Text(text) = self.value(id) { Some(text) } else { None }
    }

    pub(crate) fn sequence(&self, id: Id) -> Option<&[Id]> {
        if let Value::Sequence(items) = self.value(id) { Some(items) } else { None }
    }

    pub(crate) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        if let Value::Dict(items) = self.value(id) { Some(items) } else { None }
    }

    /// Returns the value if it is a non-negative integer.
    pub(crate) fn count(&self, id: Id) -> Option<usize> {
        if let Value::Int(number) = self.value(id) { usize::try_from(*number).ok() } else { None }
    }
}

/// Stack machine. A pickle is a program for it.
struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Stack heights at which open groups begin.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Executes one operation. Returns whether more operations follow.
    fn step(&mut self) -> Result<bool, String> {
        match self.byte()? {
            b'.' => return Ok(false),
            // Protocol version, and length of the following frame.
            0x80 => _ = self.byte()?,
            0x95 => _ = self.take(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => self.stack.push(self.last()?),
            code @ (b'N' | b'G' | 0x88 | 0x89 | b'K' | b'M' | b'J' | 0x8a) => self.number(code)?,
            code @ (b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C') => self.string(code)?,
            code @ (b')' | b't' | 0x85 | 0x86 | 0x87 | b']' | b'l' | 0x8f | b'a' | b'e' | 0x90) => {
                self.sequence(code)?;
            }
            code @ (b'}' | b'd' | b's' | b'u') => self.dict(code)?,
            code @ (b'q' | b'r' | 0x94 | b'h' | b'j') => self.memory(code)?,
            code => self.object(code)?,
        }
        Ok(true)
    }

    fn number(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            0x88 => Value::Int(1),
            0x89 => Value::Int(0),
            b'K' => Value::Int(i64::from(self.byte()?)),
            b'M' => Value::Int(little_endian(self.take(2)?)),
            b'J' => Value::Int(sign_extended(self.take(4)?)),
            0x8a => {
                let length = usize::from(self.byte()?);
                let bytes = self.take(length)?;
                if length <= 8 { Value::Int(sign_extended(bytes)) } else { Value::Other }
            }
            b'G' => self.take(8).map(|_| Value::Other)?,
            _ => Value::Other,
        };
        self.push(value)
    }

    fn string(&mut self, code: u8) -> Result<(), String> {
        let width = match code {
            0x8c | b'U' | b'C' => 1,
            0x8d => 8,
            _ => 4,
        };
        let length = little_endian(self.take(width)?);
        let bytes = self.take(usize::try_from(length).map_err(|_| "a string has a negative length".to_owned())?)?;
        // Byte strings, such as the state of a random generator, are not needed.
        let text = matches!(code, b'X' | 0x8c | 0x8d).then(|| std::str::from_utf8(bytes).ok()).flatten();
        self.push(text.map_or(Value::Other, Value::Text))
    }

    fn sequence(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b')' | b']' | 0x8f => Vec::new(),
            b't' | b'l' => self.pop_to_mark()?,
            0x85 => self.pop_last(1)?,
            0x86 => self.pop_last(2)?,
            0x87 => self.pop_last(3)?,
            b'a' => return self.pop().and_then(|item| self.extend(&[item])),
            _ => return self.pop_to_mark().and_then(|items| self.extend(&items)),
        };
        self.push(Value::Sequence(items))
    }

    /// Appends to the list on top of the stack. Other collections, such as deques, are ignored.
    fn extend(&mut self, items: &[Id]) -> Result<(), String> {
        let list = self.last()?;
        if let Value::Sequence(list) = &mut self.values[list.0 as usize] {
            list.extend_from_slice(items);
        }
        Ok(())
    }

    fn dict(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b'}' => Vec::new(),
            b's' => self.pop_last(2)?,
            _ => self.pop_to_mark()?,
        };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key has no value".to_owned());
        }
        let pairs = pairs.iter().map(|[key, value]| (*key, *value));
        if matches!(code, b'}' | b'd') {
            return self.push(Value::Dict(pairs.collect()));
        }
        let dict = self.last()?;
        if let Value::Dict(dict) = &mut self.values[dict.0 as usize] {
            dict.extend(pairs);
        }
        Ok(())
    }

    fn memory(&mut self, code: u8) -> Result<(), String> {
        let key = match code {
            b'q' | b'h' => u32::from(self.byte()?),
            b'r' | b'j' => little_endian(self.take(4)?) as u32,
            _ => self.memo.len() as u32,
        };
        if matches!(code, b'h' | b'j') {
            let id = *self.memo.get(&key).ok_or_else(|| format!("memo {key} is read before it is written"))?;
            self.stack.push(id);
        } else {
            self.memo.insert(key, self.last()?);
        }
        Ok(())
    }

    fn object(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b'c' => Value::Global { module: self.line()?, name: self.line()? },
            0x93 => {
                let names = self.pop_last(2)?;
                let text = |id: Id| if let Value::Text(text) = self.values[id.0 as usize] { text } else { "" };
                Value::Global { module: text(names[0]), name: text(names[1]) }
            }
            b'Q' => Value::Persistent(self.pop()?),
            b'R' | 0x81 => {
                let pair = self.pop_last(2)?;
                match self.values[pair[0].0 as usize] {
                    Value::Global { module: "collections", name: "OrderedDict" | "defaultdict" } => {
                        Value::Dict(Vec::new())
                    }
                    _ => Value::Call { callable: pair[0], arguments: pair[1] },
                }
            }
            0x92 => {
                self.pop_last(3)?;
                Value::Other
            }
            b'b' => {
                let pair = self.pop_last(2)?;
                if matches!(self.values[pair[0].0 as usize], Value::Dict(_)) {
                    // Ignore attributes of a dict, such as the versions in a state dict.
                    self.stack.push(pair[0]);
                    return Ok(());
                }
                Value::Built { state: pair[1] }
            }
            code => return Err(format!("torch.save does not write the operation 0x{code:02x}")),
        };
        self.push(value)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        let id = u32::try_from(self.values.len()).map_err(|_| "it has too many values".to_owned())?;
        self.values.push(value);
        self.stack.push(Id(id));
        Ok(())
    }

    fn last(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(empty)
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(empty)
    }

    fn pop_last(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let at = self.stack.len().checked_sub(count).ok_or_else(empty)?;
        Ok(self.stack.split_off(at))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(|| "a group ends that did not begin".to_owned())?;
        if mark > self.stack.len() {
            return Err(empty());
        }
        Ok(self.stack.split_off(mark))
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or_else(|| "it ends too early".to_owned())?;
        self.rest = rest;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| "a name does not end".to_owned())?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(line[..end].trim_ascii_end()).map_err(|_| "a name is not UTF-8".to_owned())
    }
}

fn empty() -> String {
    "an operation needs more values than the stack has".to_owned()
}

/// Reads an unsigned little-endian number of at most eight bytes.
fn little_endian(bytes: &[u8]) -> i64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | i64::from(byte))
}

/// Reads a signed little-endian number of at most eight bytes. No bytes give 0.
fn sign_extended(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len() as u32;
    little_endian(bytes).checked_shl(unused).map_or(0, |number| number >> unused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Pickle<'_> {
        Pickle::read(bytes).unwrap()
    }

    #[test]
    fn numbers_are_read_as_python_writes_them() {
        // pickle.dumps(value, 2) for 7, 300, -2, 2**40, -(2**40), True
        let numbers: [(&[u8], i64); 6] = [
            (b"\x80\x02K\x07.", 7),
            (b"\x80\x02M,\x01.", 300),
            (b"\x80\x02J\xfe\xff\xff\xff.", -2),
            (b"\x80\x02\x8a\x06\0\0\0\0\0\x01.", 1 << 40),
            (b"\x80\x02\x8a\x06\0\0\0\0\0\xff.", -(1 << 40)),
            (b"\x80\x02\x88.", 1),
        ];
        for (bytes, number) in numbers {
            let pickle = read(bytes);
            assert_eq!(*pickle.value(pickle.root), Value::Int(number));
        }
    }

    #[test]
    fn a_value_in_the_memo_is_shared() {
        // d = {}; t = (d, d); d['a'] = 5, written by pickle.dumps(t, 2).
        let pickle = read(b"\x80\x02}q\0X\x01\0\0\0aK\x05sh\0\x86.");
        let items = pickle.sequence(pickle.root).unwrap();
        assert_eq!(items[0], items[1]);
        let (key, value) = pickle.dict(items[0]).unwrap()[0];
        assert_eq!((pickle.text(key), pickle.count(value)), (Some("a"), Some(5)));
    }

    #[test]
    fn nested_and_repeated_values_need_little_memory() {
        let deep = [b"\x80\x02".to_vec(), b"(".repeat(300_000), b"t".repeat(300_000), b".".to_vec()].concat();
        assert_eq!(read(&deep).values.len(), 300_000);
        let mut lists = b"\x80\x02]q\0".to_vec();
        for level in 0..40 {
            // Each list contains the previous list twenty times.
            lists.extend([vec![b']', b'('], [b'h', level].repeat(20), vec![b'e', b'q', level + 1]].concat());
        }
        lists.push(b'.');
        assert_eq!(read(&lists).values.len(), 41);
    }

    #[test]
    fn invalid_pickles_are_refused() {
        for bytes in [
            &b""[..],
            b".",
            b"\x80",
            b"X\xff\xff\xff\xffabc.",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.",
            b"h\0.",
            b"t.",
            b"(0t.",
            b"K\x01(0t.",
            b"}K\x01(K\x01u.",
            b"cposix",
            b"\x8a\xff.",
            b"\xff.",
        ] {
            assert!(Pickle::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
