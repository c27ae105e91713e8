//! Reads names, shapes and data of an ONNX file's initialisers, its inputs, outputs, operators and metadata; nothing else.
//!
//! Wire format: Protocol Buffers (proto3), `onnx.proto`: `ModelProto.graph = 7`, `.metadata_props = 14`, `GraphProto.node = 1`,
//! `.initializer = 5`, `.input = 11`, `.output = 12`, `TensorProto.dims = 1`, `.data_type = 2`, `.float_data = 4`, `.name = 8`,
//! `.raw_data = 9`, `ValueInfoProto.name = 1`, `.type = 2`, `TypeProto.tensor_type = 1`, `Tensor.elem_type = 1`, `.shape = 2`,
//! `TensorShapeProto.dim = 1`, `Dimension.dim_value = 1`, `.dim_param = 2`.

use std::{borrow::Cow, collections::BTreeMap, fmt};

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

/// An input or output.
#[derive(Default)]
pub(super) struct Slot<'a> {
    pub name: &'a str,
    /// ONNX's number of the element type; `None` for what is no tensor.
    pub element: Option<u64>,
    /// `None` where the rank is open.
    pub dims: Option<Vec<Dim<'a>>>,
}

/// One axis of a shape.
pub(super) enum Dim<'a> {
    Size(usize),
    /// Known at run time only, by this name.
    Any(&'a str),
}

impl Dim<'_> {
    pub fn may_be(&self, wanted: usize) -> bool {
        match self {
            Self::Size(size) => *size == wanted,
            Self::Any(_) => true,
        }
    }
}

impl fmt::Display for Dim<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => size.fmt(formatter),
            Self::Any("") => formatter.write_str("?"),
            Self::Any(name) => formatter.write_str(name),
        }
    }
}

#[derive(Default)]
pub(super) struct Model<'a> {
    initialisers: Vec<&'a [u8]>,
    pub inputs: Vec<Slot<'a>>,
    pub outputs: Vec<Slot<'a>>,
    pub operators: Vec<&'a str>,
    pub metadata: BTreeMap<&'a str, &'a str>,
}

impl<'a> Model<'a> {
    /// Names of the initialisers, of whatever element types they are.
    pub fn initialisers(&self) -> Result<Vec<&'a str>> {
        self.initialisers.iter().map(|bytes| name(bytes)).collect()
    }

    /// The initialisers with their data.
    pub fn tensors(&self) -> Result<BTreeMap<&'a str, Tensor<'a>>> {
        let mut tensors = BTreeMap::new();
        for bytes in &self.initialisers {
            let (name, tensor) = tensor(bytes)?;
            if tensors.insert(name, tensor).is_some() {
                return Err("two initialisers of one name");
            }
        }
        Ok(tensors)
    }
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
            model.initialisers.push(bytes);
            Ok(())
        }
        (11, Value::Bytes(bytes)) => {
            model.inputs.push(slot(bytes)?);
            Ok(())
        }
        (12, Value::Bytes(bytes)) => {
            model.outputs.push(slot(bytes)?);
            Ok(())
        }
        _ => Ok(()),
    })
}

fn slot(bytes: &[u8]) -> Result<Slot<'_>> {
    let mut slot = Slot::default();
    fields(bytes, |number, value| match (number, value) {
        (1, Value::Bytes(bytes)) => {
            slot.name = text(bytes)?;
            Ok(())
        }
        (2, Value::Bytes(kind)) => fields(kind, |number, value| match (number, value) {
            (1, Value::Bytes(tensor)) => fields(tensor, |number, value| {
                match (number, value) {
                    (1, Value::Integer(element)) => slot.element = Some(element),
                    (2, Value::Bytes(bytes)) => slot.dims = Some(shape(bytes)?),
                    _ => {}
                }
                Ok(())
            }),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })?;
    Ok(slot)
}

fn shape(bytes: &[u8]) -> Result<Vec<Dim<'_>>> {
    let mut dims = Vec::new();
    fields(bytes, |number, value| {
        if let (1, Value::Bytes(bytes)) = (number, value) {
            let mut dim = Dim::Any("");
            fields(bytes, |number, value| {
                match (number, value) {
                    (1, Value::Integer(size)) => dim = Dim::Size(to_usize(size)?),
                    (2, Value::Bytes(name)) => dim = Dim::Any(text(name)?),
                    _ => {}
                }
                Ok(())
            })?;
            dims.push(dim);
        }
        Ok(())
    })?;
    Ok(dims)
}

/// The name of a tensor whose data lie in the file.
fn name(tensor: &[u8]) -> Result<&str> {
    let mut name = "";
    fields(tensor, |number, value| {
        match (number, value) {
            (8, Value::Bytes(bytes)) => name = text(bytes)?,
            (13, _) | (14, Value::Integer(1..)) => return Err("external data is not supported"),
            _ => {}
        }
        Ok(())
    })?;
    Ok(name)
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
            if let Ok(model) = super::read(&bytes) {
                let _ = (model.initialisers(), model.tensors());
            }
        }
    }
}
