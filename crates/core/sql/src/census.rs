//! Counts and names every node of a tree, whatever its kind.
//!
//! The walk that understands statements is written by hand; this one is made from the derived serializers of the tree, so it cannot
//! leave a field out. It serves twice: statements that need no scopes (most of DDL) take their names from it, and after every walk by
//! hand the counts must agree, or the text is refused.

use std::fmt;

use serde::ser::{self, Serialize};

/// How many nodes of the kinds that carry meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) relations: usize,
    pub(crate) functions: usize,
    pub(crate) queries: usize,
    pub(crate) operators: usize,
    pub(crate) types: usize,
    pub(crate) columns: usize,
}

/// What the census found.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) counts: Counts,
    /// Schema (may be empty) and name of each relation.
    pub(crate) relations: Vec<(String, String)>,
    /// Name parts and argument count of each function call.
    pub(crate) functions: Vec<Vec<String>>,
    /// Role names.
    pub(crate) roles: Vec<String>,
    /// Node kinds of the tree that a raw parse never yields.
    pub(crate) foreign: Option<&'static str>,
    /// The name of the node itself.
    pub(crate) root: Option<&'static str>,
    capture: Option<Vec<String>>,
    path: Vec<&'static str>,
}

impl Census {
    /// Takes the census of a node and all beneath it.
    pub(crate) fn of<T: Serialize>(node: &T) -> Self {
        let mut census = Self::default();
        // It has no way to fail: every method returns Ok.
        let _ = node.serialize(&mut census);
        census
    }

    fn enter(&mut self, name: &'static str) {
        self.root.get_or_insert(name);
        match name {
            "RangeVar" => {
                self.counts.relations += 1;
                self.relations.push((String::new(), String::new()));
            }
            "FuncCall" => self.counts.functions += 1,
            "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.counts.queries += 1,
            "AExpr" => self.counts.operators += 1,
            "TypeName" => self.counts.types += 1,
            "ColumnRef" => self.counts.columns += 1,
            "Query" | "Var" | "FuncExpr" | "OpExpr" | "Aggref" | "RangeTblEntry" | "TargetEntry" => {
                self.foreign = Some(name)
            }
            _ => {}
        }
        self.path.push(name);
    }

    fn text(&mut self, s: &str) {
        if let Some(capture) = &mut self.capture {
            capture.push(s.to_owned());
        }
    }
}

/// Never made.
#[derive(Debug)]
pub(crate) struct Never;

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! ignore {
    ($($method:ident: $ty:ty),*) => { $(fn $method(self, _: $ty) -> Result<(), Never> { Ok(()) })* };
}

impl ser::Serializer for &mut Census {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    ignore!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64, serialize_char: char,
        serialize_bytes: &[u8], serialize_unit_struct: &'static str);

    fn serialize_str(self, s: &str) -> Result<(), Never> {
        self.text(s);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self, Never> {
        self.enter(name);
        Ok(self)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, name: &'static str, _: usize) -> Result<Self, Never> {
        self.enter(name);
        Ok(self)
    }
}

impl ser::SerializeStruct for &mut Census {
    type Ok = ();
    type Error = Never;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Never> {
        let captures = matches!(
            (self.path.last().copied(), key),
            (Some("RangeVar"), "schemaname" | "relname")
                | (Some("FuncCall"), "funcname")
                | (Some("RoleSpec"), "rolename")
        );
        if !captures {
            return value.serialize(&mut **self);
        }
        self.capture = Some(Vec::new());
        value.serialize(&mut **self)?;
        let mut taken = self.capture.take().unwrap_or_default();
        match key {
            "funcname" => self.functions.push(taken),
            "rolename" => self.roles.extend(taken.into_iter().filter(|r| !r.is_empty())),
            _ => {
                if let (Some(last), Some(name)) = (self.relations.last_mut(), taken.pop()) {
                    if key == "relname" {
                        last.1 = name;
                    } else {
                        last.0 = name;
                    }
                }
            }
        }
        Ok(())
    }

    fn end(self) -> Result<(), Never> {
        self.path.pop();
        Ok(())
    }
}

impl ser::SerializeStructVariant for &mut Census {
    type Ok = ();
    type Error = Never;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Never> {
        ser::SerializeStruct::serialize_field(self, key, value)
    }

    fn end(self) -> Result<(), Never> {
        ser::SerializeStruct::end(self)
    }
}

macro_rules! sequence {
    ($($tr:ident $method:ident),*) => { $(
        impl ser::$tr for &mut Census {
            type Ok = ();
            type Error = Never;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> { value.serialize(&mut **self) }
            fn end(self) -> Result<(), Never> { Ok(()) }
        }
    )* };
}

sequence!(SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field);

impl ser::SerializeMap for &mut Census {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Never> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
