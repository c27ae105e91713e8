//! Types of a condition, before it ever runs: every variable, field and function exists, and what comes out is true or false.
//!
//! Less than CEL, on purpose: what is left is cheap for any call. Texts are not joined, loops do not nest.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, SelectExpr, operators},
};

use super::{MAX_DEPTH, Refusal, too_deep, variables::TABLE};
use crate::{
    error::{excerpt, unknown},
    plan::asked::Fields,
};

/// Functions that a condition may call, as they are written.
const FUNCTIONS: &[&str] = &["all", "contains", "endsWith", "exists", "has", "int", "size", "startsWith", "string"];
/// Most loops (`all`, `exists`) of one condition.
const MAX_LOOPS: usize = 4;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    One(Scalar),
    /// Of what; `None` for `[]`.
    List(Option<Scalar>),
    /// From text to text.
    Map,
}

/// What a simple value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    Bool,
    Int,
    Text,
}

impl Type {
    pub const BOOL: Self = Self::One(Scalar::Bool);
    pub const INT: Self = Self::One(Scalar::Int);
    pub const TEXT: Self = Self::One(Scalar::Text);
    pub const TEXTS: Self = Self::List(Some(Scalar::Text));

    fn name(self) -> &'static str {
        match self {
            Self::One(Scalar::Bool) => "a bool",
            Self::One(Scalar::Int) => "an int",
            Self::One(Scalar::Text) => "a string",
            Self::List(_) => "a list",
            Self::Map => "a map",
        }
    }

    fn compares_with(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::List(None), Self::List(_)) | (Self::List(_), Self::List(None)))
    }
}

/// Checks a condition; gives which details it reads.
pub fn check(expression: &IdedExpr) -> Result<Fields, Refusal> {
    let mut checker = Checker { reads: Fields::NONE, loops: 0, entry: None };
    match checker.expression(expression, 0)? {
        Type::BOOL => Ok(checker.reads),
        other => Err(Refusal::new(format!("a condition gives true or false; this one gives {}", other.name()))),
    }
}

struct Checker {
    reads: Fields,
    loops: usize,
    /// The variable of the loop that is being checked.
    entry: Option<(String, Scalar)>,
}

impl Checker {
    fn expression(&mut self, expression: &IdedExpr, depth: usize) -> Result<Type, Refusal> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        match &expression.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => Ok(Type::BOOL),
            Expr::Literal(LiteralValue::Int(_)) => Ok(Type::INT),
            Expr::Literal(LiteralValue::String(_)) => Ok(Type::TEXT),
            Expr::Literal(_) => Err(Refusal::new("a value is a string, an integer, true or false")),
            Expr::Ident(name) => self.identifier(name),
            Expr::Select(select) => self.select(select, depth),
            Expr::Call(call) => self.call(call, depth + 1),
            Expr::List(list) => self.list(list, depth + 1),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth + 1),
            Expr::Map(_) | Expr::Struct(_) => Err(Refusal::new("a condition makes no maps and no objects")),
            Expr::Unspecified => Err(Refusal::new("this is not CEL")),
        }
    }

    fn identifier(&self, name: &str) -> Result<Type, Refusal> {
        match &self.entry {
            Some((entry, kind)) if entry == name => Ok(Type::One(*kind)),
            _ => Err(unknown_variable(name)),
        }
    }

    /// `request.tools`, `request.metadata.key`, `has(request.metadata.key)`.
    fn select(&mut self, select: &SelectExpr, depth: usize) -> Result<Type, Refusal> {
        if let Expr::Ident(root) = &select.operand.expr {
            if self.identifier(root).is_ok() {
                return Err(Refusal::new(format!("`{}` has no fields", excerpt(root))));
            }
            let named = self.variable(&format!("{root}.{}", select.field))?;
            return if select.test { Err(no_key()) } else { Ok(named) };
        }
        match self.expression(&select.operand, depth + 1)? {
            Type::Map => Ok(if select.test { Type::BOOL } else { Type::TEXT }),
            _ if select.test => Err(no_key()),
            other => Err(Refusal::new(format!("{} has no field `{}`", other.name(), excerpt(&select.field)))),
        }
    }

    fn variable(&mut self, name: &str) -> Result<Type, Refusal> {
        let row = TABLE.iter().find(|row| row.0 == name).ok_or_else(|| unknown_variable(name))?;
        self.reads = self.reads.and(row.2);
        Ok(row.1)
    }

    fn list(&mut self, list: &ListExpr, depth: usize) -> Result<Type, Refusal> {
        let mut of = None;
        for element in &list.elements {
            match (self.expression(element, depth)?, of) {
                (Type::One(kind), None) => of = Some(kind),
                (Type::One(kind), Some(first)) if kind == first => {}
                (other, _) => {
                    return Err(Refusal::new(format!("a list holds values of one simple type; this one holds {} too", other.name())));
                }
            }
        }
        Ok(Type::List(of))
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Result<Type, Refusal> {
        let mut types = Vec::with_capacity(call.args.len() + 1);
        // Of a function's name that is not known, its name says more than what is wrong with what it is given.
        if !call.func_name.contains('_') && call.func_name != operators::IN && !FUNCTIONS.contains(&call.func_name.as_str()) {
            return Err(unknown_function(&call.func_name));
        }
        for operand in call.target.as_deref().into_iter().chain(&call.args) {
            types.push(self.expression(operand, depth)?);
        }
        operation(call, &types).ok_or_else(|| {
            let found: Vec<&str> = types.iter().map(|found| found.name()).collect();
            Refusal::new(format!("`{}` does not take {}", written(&call.func_name), found.join(" and ")))
        })
    }

    /// `all` and `exists`, which the parser has turned into loops; so it has `map`, `filter` and `exists_one`.
    fn comprehension(&mut self, found: &ComprehensionExpr, depth: usize) -> Result<Type, Refusal> {
        let (Expr::Literal(LiteralValue::Boolean(_)), Expr::Call(step)) = (&found.accu_init.expr, &found.loop_step.expr) else {
            return Err(unknown_function("map`, `filter` or `exists_one"));
        };
        if self.entry.is_some() {
            return Err(Refusal::new("`all` and `exists` do not nest"));
        }
        self.loops += 1;
        if self.loops > MAX_LOOPS {
            return Err(Refusal::new(format!("a condition has at most {MAX_LOOPS} of `all` and `exists`")));
        }
        let entry = match self.expression(&found.iter_range, depth)? {
            Type::List(of) => of.unwrap_or(Scalar::Text),
            Type::Map => Scalar::Text,
            other @ Type::One(_) => {
                return Err(Refusal::new(format!("`all` and `exists` go through a list or a map, not {}", other.name())));
            }
        };
        if found.iter_var2.is_some() || ["caller", "request"].contains(&found.iter_var.as_str()) {
            return Err(Refusal::new("`all` and `exists` name one variable, other than `caller` and `request`"));
        }
        self.entry = Some((found.iter_var.clone(), entry));
        let body = step.args.last().map_or(Ok(Type::BOOL), |body| self.expression(body, depth));
        self.entry = None;
        match body? {
            Type::BOOL => Ok(Type::BOOL),
            other => Err(Refusal::new(format!("`all` and `exists` ask for true or false, not for {}", other.name()))),
        }
    }
}

/// What an operator or a function gives, where it takes these.
fn operation(call: &CallExpr, types: &[Type]) -> Option<Type> {
    let name = call.func_name.as_str();
    let member = call.target.is_some();
    match (name, types) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR, all) if all.iter().all(|&each| each == Type::BOOL) => Some(Type::BOOL),
        (operators::LOGICAL_NOT, [Type::BOOL]) => Some(Type::BOOL),
        (operators::NEGATE, [Type::INT]) => Some(Type::INT),
        (operators::CONDITIONAL, &[Type::BOOL, yes, no]) if yes.compares_with(no) => Some(if yes == Type::List(None) { no } else { yes }),
        (operators::EQUALS | operators::NOT_EQUALS, &[left, right]) if left.compares_with(right) => Some(Type::BOOL),
        (
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
            [Type::INT, Type::INT] | [Type::TEXT, Type::TEXT],
        ) => Some(Type::BOOL),
        (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [Type::INT, Type::INT]) => {
            Some(Type::INT)
        }
        (operators::IN, [Type::One(_), Type::List(None)] | [Type::TEXT, Type::Map]) => Some(Type::BOOL),
        (operators::IN, &[Type::One(one), Type::List(Some(of))]) if one == of => Some(Type::BOOL),
        (operators::INDEX, [Type::Map, Type::TEXT]) => Some(Type::TEXT),
        (operators::INDEX, &[Type::List(Some(of)), Type::INT]) => Some(Type::One(of)),
        ("size", [Type::TEXT | Type::List(_) | Type::Map]) => Some(Type::INT),
        ("contains" | "endsWith" | "startsWith", [Type::TEXT, Type::TEXT]) if member => Some(Type::BOOL),
        ("int", [Type::TEXT | Type::INT]) if !member => Some(Type::INT),
        ("string", [Type::INT | Type::BOOL]) if !member => Some(Type::TEXT),
        _ => None,
    }
}

/// An operator as people write it: `_==_` is `==`.
fn written(name: &str) -> &str {
    match name {
        operators::CONDITIONAL => "? :",
        operators::INDEX => "[]",
        _ => name.trim_matches(['_', '@']),
    }
}

fn unknown_variable(name: &str) -> Refusal {
    let known: Vec<&str> = TABLE.iter().map(|row| row.0).collect();
    Refusal { message: unknown("variable", name, &known), accepted: known.iter().map(|&name| name.to_owned()).collect() }
}

fn unknown_function(name: &str) -> Refusal {
    Refusal { message: unknown("function", name, FUNCTIONS), accepted: FUNCTIONS.iter().map(|&name| name.to_owned()).collect() }
}

fn no_key() -> Refusal {
    Refusal::new("`has` asks for a key of `caller.labels` or `request.metadata`; every other variable is always there")
}
