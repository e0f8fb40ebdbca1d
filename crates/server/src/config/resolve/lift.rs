//! Files of a MAS gateway, whose sections stand at the top and not below `gateway`.

use crate::config::error::{ConfigErrorCode, Report};
use crate::config::keys::{Keys, Kind};
use crate::config::tree::{Key, Node, Value};

/// Moves the sections of a MAS gateway from the top of the tree to below `gateway`.
pub(in crate::config) fn lift_gateway(keys: &Keys, root: &mut Node, report: &mut Report) {
    let Kind::Section { keys: top, .. } = keys.shape(keys.root()).kind else { return };
    let Some(gateway) = top.get("gateway") else { return };
    let Kind::Section { keys: below, .. } = keys.shape(gateway).kind else { return };
    let Value::Map(entries) = &mut root.value else { return };
    let (lifted, mut kept): (Vec<_>, Vec<_>) = std::mem::take(entries)
        .into_iter()
        .partition(|(key, _)| below.contains_key(&key.name) && !top.contains_key(&key.name));
    if let Some((first, _)) = lifted.first() {
        let at = first.at.clone();
        if !kept.iter().any(|(key, _)| key.name == "gateway") {
            let key = Key { at: at.clone(), name: "gateway".to_owned() };
            kept.push((key, Node { at, value: Value::Null }));
        }
    }
    let gateway = kept.iter_mut().find(|(key, _)| key.name == "gateway");
    if let Some((_, gateway)) = gateway {
        for (key, node) in lifted {
            below_gateway(gateway, key, node, report);
        }
    }
    *entries = kept;
}

fn below_gateway(gateway: &mut Node, key: Key, node: Node, report: &mut Report) {
    if matches!(gateway.value, Value::Null) {
        gateway.value = Value::Map(Vec::new());
    }
    // Anything else than a mapping is reported when the tree is checked.
    let Value::Map(entries) = &mut gateway.value else { return };
    if entries.iter().any(|(known, _)| known.name == key.name) {
        let message = format!("is also there as gateway.{}; remove one of them", key.name);
        report.add(ConfigErrorCode::DuplicateKey, &key.at, &key.name, message);
        return;
    }
    entries.push((key, node));
}
