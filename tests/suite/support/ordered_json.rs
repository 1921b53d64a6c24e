//! JSON with the keys of objects in the order of the text: the schema is tested with it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
}

impl Json {
    #[track_caller]
    pub(crate) fn keys(&self) -> Vec<&str> {
        let Self::Object(pairs) = self else {
            panic!("not an object: {self:?}");
        };
        pairs.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> &Self {
        let Self::Object(pairs) = self else {
            panic!("not an object: {self:?}");
        };
        let found = pairs.iter().find(|(known, _)| known == key);
        &found.unwrap_or_else(|| panic!("no {key}: {self:?}")).1
    }

    #[track_caller]
    pub(crate) fn items(&self) -> &[Self] {
        let Self::Array(items) = self else {
            panic!("not an array: {self:?}");
        };
        items
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Json::Object(pairs))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::Array(items))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
                Ok(Json::Number(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Number(number as f64))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
        }
        deserializer.deserialize_any(Values)
    }
}
