//! Reads names, shapes and data of an ONNX file's initialisers, its operators and its metadata; nothing else.
//!
//! Wire format: Protocol Buffers (proto3), `onnx.proto`: `ModelProto.graph = 7`, `.metadata_props = 14`,
//! `GraphProto.node = 1`, `.initializer = 5`, `TensorProto.dims = 1`, `.data_type = 2`, `.float_data = 4`, `.name = 8`, `.raw_data = 9`.

use std::{borrow::Cow, collections::BTreeMap};

/// Element types that a predictor may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Float32,
    Int8,
    Other,
}

pub(super) struct Tensor<'a> {
    pub dims: Vec<usize>,
    pub element: Element,
    pub raw: Cow<'a, [u8]>,
}

#[derive(Default)]
pub(super) struct Model<'a> {
    pub tensors: BTreeMap<&'a str, Tensor<'a>>,
    pub operators: Vec<&'a str>,
    pub metadata: BTreeMap<&'a str, &'a str>,
}

type Result<T> = std::result::Result<T, &'static str>;

enum Value<'a> {
    Integer(u64),
    Bytes(&'a [u8]),
    Fixed(&'a [u8]),
}

pub(super) fn read(bytes: &[u8]) -> Result<Model<'_>> {
    let mut model = Model::default();
    fields(bytes, |number, value| match (number, value) {
        (7, Value::Bytes(graph)) => graph_fields(graph, &mut model),
        (14, Value::Bytes(entry)) => {
            let (key, value) = string_pair(entry)?;
            model.metadata.insert(key, value);
            Ok(())
        }
        _ => Ok(()),
    })?;
    Ok(model)
}

fn graph_fields<'a>(bytes: &'a [u8], model: &mut Model<'a>) -> Result<()> {
    fields(bytes, |number, value| match (number, value) {
        (1, Value::Bytes(node)) => fields(node, |number, value| {
            if let (4, Value::Bytes(operator)) = (number, value) {
                model.operators.push(text(operator)?);
            }
            Ok(())
        }),
        (5, Value::Bytes(bytes)) => {
            let (name, tensor) = tensor(bytes)?;
            match model.tensors.insert(name, tensor) {
                Some(_) => Err("two initialisers of one name"),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    })
}

fn tensor(bytes: &[u8]) -> Result<(&str, Tensor<'_>)> {
    let (mut name, mut code) = ("", 0_u64);
    let (mut dims, mut raw) = (Vec::new(), Cow::Borrowed(&[][..]));
    fields(bytes, |number, value| {
        match (number, value) {
            (1, Value::Integer(size)) => dims.push(to_usize(size)?),
            (1, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    dims.push(to_usize(varint(&mut packed)?)?);
                }
            }
            (2, Value::Integer(kind)) => code = kind,
            // Packed float_data has the same bytes as raw_data.
            (4 | 9, Value::Bytes(data)) => raw = Cow::Borrowed(data),
            (4, Value::Fixed(one)) => raw.to_mut().extend_from_slice(one),
            (8, Value::Bytes(bytes)) => name = text(bytes)?,
            (13 | 14, _) => return Err("external data is not supported"),
            _ => {}
        }
        Ok(())
    })?;
    let (element, width) = match code {
        1 => (Element::Float32, 4),
        3 => (Element::Int8, 1),
        2 | 9 => (Element::Other, 1),
        6 | 12 => (Element::Other, 4),
        4 | 5 | 10 | 16 => (Element::Other, 2),
        7 | 11 | 13 => (Element::Other, 8),
        _ => return Err("an initialiser of an element type that is not supported"),
    };
    let length = dims.iter().try_fold(width, |product: usize, &size| product.checked_mul(size)).ok_or("a shape that overflows")?;
    // int64 shapes may come as int64_data, which we do not need to read.
    if length != raw.len() && element != Element::Other {
        return Err("an initialiser whose shape and data disagree");
    }
    Ok((name, Tensor { dims, element, raw }))
}

fn string_pair(bytes: &[u8]) -> Result<(&str, &str)> {
    let (mut key, mut entry) = ("", "");
    fields(bytes, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => key = text(bytes)?,
            (2, Value::Bytes(bytes)) => entry = text(bytes)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, entry))
}

fn fields<'a>(mut bytes: &'a [u8], mut each: impl FnMut(u64, Value<'a>) -> Result<()>) -> Result<()> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Integer(varint(&mut bytes)?),
            1 => Value::Fixed(cut(&mut bytes, 8)?),
            5 => Value::Fixed(cut(&mut bytes, 4)?),
            2 => {
                let length = to_usize(varint(&mut bytes)?)?;
                Value::Bytes(cut(&mut bytes, length)?)
            }
            _ => return Err("an unknown wire type"),
        };
        each(key >> 3, value)?;
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or("a truncated number")?;
        *bytes = rest;
        value |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
        if byte < 128 {
            return Ok(value);
        }
    }
    Err("a number that is too long")
}

fn cut<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length).ok_or("a truncated field")?;
    *bytes = rest;
    Ok(head)
}

fn to_usize(value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| "a length that does not fit")
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| "a name that is not UTF-8")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = super::read(&bytes);
        }
    }
}
