//! CreateTags, DeleteTags, DescribeTags.

use super::{Listing, answer, done};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::tags::{self, Tags};
use crate::region::state::State;
use crate::region::xml::Element;

const FILTERS: &[&str] = &["key", "resource-id", "resource-type", "value"];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let tags = tags::listed(call.params);
    if tags.is_empty() {
        return Err(ServiceError::missing_parameter("tagSet"));
    }
    let resources = resources(call)?;
    // All or nothing: when one resource is refused, the others stay as they were.
    resources.iter().try_for_each(|id| state.ec2.may_tag(id, &tags))?;
    resources.iter().try_for_each(|id| state.ec2.tag(id, &tags))?;
    Ok(done())
}

/// Those named; without names all but those that AWS itself gave.
pub fn delete(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let named: Vec<(String, Option<String>)> = call
        .params
        .structures("Tag")
        .iter()
        .map(|tag| Ok((tag.required("Key")?.to_owned(), tag.get("Value").map(str::to_owned))))
        .collect::<Result<_, ServiceError>>()?;
    for id in resources(call)? {
        let own = state.ec2.tags_of(id).keys().filter(|key| !key.starts_with("aws:"));
        let doomed = if named.is_empty() {
            own.map(|key| (key.clone(), None)).collect()
        } else {
            named.clone()
        };
        for (key, value) in doomed {
            tags::allowed(&key, "")?;
            state.ec2.untag(id, &key, value.as_deref())?;
        }
    }
    Ok(done())
}

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let listing = Listing::of(call.params, "ResourceId", FILTERS)?;
    let mut found = Vec::new();
    for (id, key, value) in state.ec2.all_tags() {
        let kind = tags::kind_of(id).unwrap_or_default();
        let under = |name: &str| match name {
            "key" => vec![key.to_owned()],
            "resource-id" => vec![id.to_owned()],
            "resource-type" => vec![kind.to_owned()],
            _ => vec![value.to_owned()],
        };
        if listing.filters.want(&Tags::from([(key.to_owned(), value.to_owned())]), under) {
            let item = Element::new("item").field("resourceId", id).field("resourceType", kind);
            found.push((format!("{id} {key}"), item.field("key", key).field("value", value)));
        }
    }
    Ok(answer("tagSet", listing.page.cut(found)))
}

fn resources<'a>(call: &Call<'a>) -> Result<Vec<&'a str>, ServiceError> {
    let ids = call.params.list("ResourceId");
    if ids.is_empty() { Err(ServiceError::missing_parameter("resourceIdSet")) } else { Ok(ids) }
}
