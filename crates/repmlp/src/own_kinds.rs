//! Kinds of blocks and networks that other crates add.
//!
//! A configuration names a kind. Those of this crate are variants of an enum. Any other kind is kept as a table until
//! [`OwnKinds`] binds it to the type that implements it. So nothing is registered globally, and a program says in one
//! place what it knows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::ConfigFault;
use crate::blocks::BlockKind;
use crate::models::NetworkKind;
use sealed::Kind;

type Table = Map<String, Value>;

/// The kinds that a program knows besides those of this crate.
///
/// # Example
///
/// A block of two convolutions:
///
/// ```
/// use candle_core::{DType, Device};
/// use repmlp::blocks::BlockKind;
/// use repmlp::catalogue::NamedModel;
/// use repmlp::models::Model;
/// use repmlp::network::{LayerSpec, Node, Site, chain};
/// use repmlp::vars::Vars;
/// use repmlp::{ConfigFault, OwnKinds};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct TwoConvs {
///     /// Size of both kernels; odd.
///     kernel: usize,
/// }
///
/// impl BlockKind for TwoConvs {
///     fn faults(&self, _site: Site, key: &str) -> Vec<ConfigFault> {
///         let even = self.kernel.is_multiple_of(2);
///         even.then(|| ConfigFault::new(format!("{key}.kernel"), "must be odd")).into_iter().collect()
///     }
///
///     fn node(&self, site: Site, _key: &str) -> Node<LayerSpec> {
///         let conv = || LayerSpec::conv_bn(site.channels, self.kernel).into();
///         chain([("0", conv()), ("1", conv())])
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kinds = OwnKinds::new().block::<TwoConvs>("two-convs");
/// let network = NamedModel::parse_with(
///     "small",
///     r#"
///     task  = { channels = 3, image = [32, 32], classes = 10 }
///     [model]
///     kind   = "cifar-net"
///     widths = [2, 4, 4]
///     hidden = 8
///     block  = { kind = "two-convs", kernel = 3 }
///     "#,
///     &kinds,
/// )?;
/// let vars = Vars::new(0, DType::F32, &Device::Cpu);
/// Model::new(&network.model, network.task, &vars.root())?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct OwnKinds {
    blocks: BTreeMap<String, Kind<dyn BlockKind>>,
    networks: BTreeMap<String, Kind<dyn NetworkKind>>,
}

impl OwnKinds {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind of block. `C` is its configuration: the keys beside `kind`. It should refuse unknown keys
    /// (`deny_unknown_fields`). A key that is added later must be left out of the serialised form at its neutral value;
    /// then the identities of old runs stay valid.
    #[must_use]
    pub fn block<C>(mut self, kind: &str) -> Self
    where
        C: BlockKind + Serialize + DeserializeOwned + JsonSchema + 'static,
    {
        let read =
            |table: &Table| read::<C>(table).map(|(value, config)| (value, Arc::new(config) as Arc<dyn BlockKind>));
        self.blocks.insert(kind.to_owned(), Kind { read, schema: schema_of::<C> });
        self
    }

    /// Adds a kind of network. `C` is its configuration, as for [`OwnKinds::block`].
    #[must_use]
    pub fn network<C>(mut self, kind: &str) -> Self
    where
        C: NetworkKind + Serialize + DeserializeOwned + JsonSchema + 'static,
    {
        let read =
            |table: &Table| read::<C>(table).map(|(value, config)| (value, Arc::new(config) as Arc<dyn NetworkKind>));
        self.networks.insert(kind.to_owned(), Kind { read, schema: schema_of::<C> });
        self
    }

    /// Adds the kinds to the JSON Schema (draft 07) of a configuration that contains blocks and networks.
    pub fn extend_schema(&self, schema: &mut Value) {
        let blocks = self.blocks.iter().map(|(kind, own)| ("BlockConfig", kind, own.schema));
        let networks = self.networks.iter().map(|(kind, own)| ("ModelConfig", kind, own.schema));
        for (definition, kind, own) in blocks.chain(networks) {
            let mut own = own();
            if let Some(more) = own.get_mut("definitions").map(Value::take) {
                let known = schema["definitions"].as_object_mut();
                known.into_iter().for_each(|known| known.extend(more.as_object().cloned().unwrap_or_default()));
            }
            let Some(own) = own.as_object_mut() else { continue };
            ["$schema", "title", "definitions"].iter().for_each(|key| drop(own.remove(*key)));
            own.entry("properties").or_insert_with(|| Table::new().into())["kind"] =
                serde_json::json!({ "const": kind, "type": "string" });
            let required = own.entry("required").or_insert_with(|| Value::Array(Vec::new()));
            required.as_array_mut().into_iter().for_each(|required| required.insert(0, "kind".into()));
            let variants = schema["definitions"][definition]["oneOf"].as_array_mut();
            variants.into_iter().for_each(|variants| variants.push(Value::Object(own.clone())));
        }
    }
}

impl fmt::Debug for OwnKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.blocks.keys().chain(self.networks.keys())).finish()
    }
}

/// Reads a table without its `kind`. Returns the canonical table, with all defaults, and the configuration.
fn read<C: Serialize + DeserializeOwned>(table: &Table) -> serde_json::Result<(Value, C)> {
    let mut keys = table.clone();
    keys.remove("kind");
    let config: C = serde_json::from_value(Value::Object(keys))?;
    Ok((serde_json::to_value(&config)?, config))
}

/// Writes the variants of an enum as `oneOf`. With a variant for other kinds schemars writes `anyOf`, although that
/// variant is left out.
pub(crate) fn as_one_of(schema: &mut Schema) {
    if let Some(variants) = schema.remove("anyOf") {
        schema.insert("oneOf".to_owned(), variants);
    }
}

fn schema_of<C: JsonSchema>() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<C>().to_value()
}

/// What a kind is used for: a block or a network.
pub trait Role: sealed::Kinds {}

impl Role for dyn BlockKind {}
impl Role for dyn NetworkKind {}

mod sealed {
    use std::collections::BTreeMap;
    use std::sync::{Arc, LazyLock};

    use schemars::JsonSchema;
    use serde_json::Value;

    use super::{BlockKind, NetworkKind, OwnKinds, Table, schema_of};
    use crate::blocks::BlockConfig;
    use crate::models::ModelConfig;

    /// The canonical table, with all defaults, and what implements it.
    type Canonical<T> = (Value, Arc<T>);

    /// How a table of one kind is read, and its schema.
    pub struct Kind<T: ?Sized> {
        pub(super) read: fn(&Table) -> serde_json::Result<Canonical<T>>,
        pub(super) schema: fn() -> Value,
    }

    pub trait Kinds {
        /// Returns the kinds of this crate. A faulty table of such a kind is not one of another crate.
        fn built_in() -> &'static [String];

        fn of(kinds: &OwnKinds) -> &BTreeMap<String, Kind<Self>>;
    }

    impl Kinds for dyn BlockKind {
        fn built_in() -> &'static [String] {
            static KINDS: LazyLock<Vec<String>> = LazyLock::new(kinds_of::<BlockConfig>);
            &KINDS
        }

        fn of(kinds: &OwnKinds) -> &BTreeMap<String, Kind<Self>> {
            &kinds.blocks
        }
    }

    impl Kinds for dyn NetworkKind {
        fn built_in() -> &'static [String] {
            static KINDS: LazyLock<Vec<String>> = LazyLock::new(kinds_of::<ModelConfig>);
            &KINDS
        }

        fn of(kinds: &OwnKinds) -> &BTreeMap<String, Kind<Self>> {
            &kinds.networks
        }
    }

    /// Reads the kinds of an enum from its schema.
    fn kinds_of<C: JsonSchema>() -> Vec<String> {
        let schema = schema_of::<C>();
        let variants = schema["oneOf"].as_array().into_iter().flatten();
        variants.filter_map(|variant| variant["properties"]["kind"]["const"].as_str().map(str::to_owned)).collect()
    }
}

/// A block or network of another crate. It cannot be built before it is bound.
pub struct Own<T: Role + ?Sized> {
    /// The table, with its key `kind`.
    table: Table,
    bound: Option<Arc<T>>,
}

impl<T: Role + ?Sized> Own<T> {
    /// Name of the kind.
    pub fn kind(&self) -> &str {
        self.table.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// What was bound to it.
    ///
    /// # Errors
    /// When nothing was bound to it. `key` is the key of the table.
    pub(crate) fn bound(&self, key: &str) -> Result<&T, ConfigFault> {
        self.bound.as_deref().ok_or_else(|| self.unknown(key))
    }

    /// Binds the table to the type that implements its kind, and fills in the defaults.
    pub(crate) fn bind(&mut self, kinds: &OwnKinds, key: &str) -> Result<(), ConfigFault> {
        let Some(own) = T::of(kinds).get(self.kind()) else { return Err(self.unknown(key)) };
        let (canonical, bound) = (own.read)(&self.table).map_err(|fault| ConfigFault::new(key, fault.to_string()))?;
        let kind = ("kind".to_owned(), self.kind().into());
        self.table = canonical.as_object().cloned().unwrap_or_default();
        self.table.extend([kind]);
        self.bound = Some(bound);
        Ok(())
    }

    fn unknown(&self, key: &str) -> ConfigFault {
        ConfigFault::new(format!("{key}.kind"), format!("`{}` is not a known kind", self.kind()))
    }
}

impl<T: Role + ?Sized> Clone for Own<T> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), bound: self.bound.clone() }
    }
}

impl<T: Role + ?Sized> fmt::Debug for Own<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)
    }
}

impl<T: Role + ?Sized> PartialEq for Own<T> {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table
    }
}

impl<T: Role + ?Sized> Eq for Own<T> {}

impl<T: Role + ?Sized> Serialize for Own<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.table.serialize(serializer)
    }
}

impl<'de, T: Role + ?Sized> Deserialize<'de> for Own<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let own = Self { table: Map::deserialize(deserializer)?, bound: None };
        match own.kind() {
            "" => Err(D::Error::custom("`kind` is missing")),
            kind if T::built_in().iter().any(|known| known == kind) => {
                Err(D::Error::custom(format!("a key of the built-in kind `{kind}` is wrong")))
            }
            _ => Ok(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::BlockConfig;

    #[test]
    fn the_built_in_kinds_are_those_of_the_enums() {
        assert_eq!(<dyn BlockKind as sealed::Kinds>::built_in(), ["rep-mlp", "conv", "non-local", "self-attention"]);
        assert_eq!(<dyn NetworkKind as sealed::Kinds>::built_in().len(), 7);
    }

    #[test]
    fn an_unknown_kind_is_a_fault_and_a_wrong_table_of_a_known_kind_is_an_error() {
        let read = |text: &str| serde_json::from_str::<BlockConfig>(text);
        let own = read(r#"{"kind":"mine","width":2}"#).unwrap();
        assert_eq!(serde_json::to_string(&own).unwrap(), r#"{"kind":"mine","width":2}"#);
        let site = crate::network::Site { channels: 4, map: (8, 8) };
        assert_eq!(own.faults(site, "model.block")[0].to_string(), "model.block.kind: `mine` is not a known kind");
        assert!(read(r#"{"kind":"conv","kernel":3,"groups":1,"width":2}"#).is_err());
        assert!(read(r#"{"width":2}"#).is_err());
    }
}
