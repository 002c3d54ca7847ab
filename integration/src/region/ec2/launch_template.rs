//! Launch templates: EC2 User Guide, "Store instance launch parameters in Amazon EC2 launch
//! templates".

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::Ec2;
use super::launch_spec::LaunchSpec;
use super::tags::Tags;
use crate::region::call::ServiceError;
use crate::region::ids::Ids;

/// A template and its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchTemplate {
    pub id: String,
    pub name: String,
    pub created_at: OffsetDateTime,
    /// An ARN.
    pub created_by: String,
    pub default_version: u64,
    /// From 1; a version never changes.
    pub versions: BTreeMap<u64, TemplateVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateVersion {
    pub number: u64,
    pub created_at: OffsetDateTime,
    pub created_by: String,
    pub description: Option<String>,
    pub spec: LaunchSpec,
}

/// How a request names a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateName {
    Id(String),
    Name(String),
}

impl LaunchTemplate {
    pub fn latest_version(&self) -> u64 {
        self.versions.keys().next_back().copied().unwrap_or(0)
    }

    /// `$Latest`, `$Default`, a number, or nothing for the default.
    pub fn version(&self, wanted: Option<&str>) -> Result<&TemplateVersion, ServiceError> {
        let number = match wanted {
            None | Some("" | "$Default") => Some(self.default_version),
            Some("$Latest") => Some(self.latest_version()),
            Some(number) => number.parse().ok(),
        };
        number.and_then(|number| self.versions.get(&number)).ok_or_else(|| {
            let wanted = wanted.unwrap_or("$Default");
            ServiceError::client(
                "InvalidLaunchTemplateId.VersionNotFound",
                format!("Could not find the specified version {wanted} for the launch template with ID {}.", self.id),
            )
        })
    }
}

impl TemplateVersion {
    /// What AWS tags an instance of this version with.
    pub fn marks(&self, template: &str) -> Tags {
        Tags::from([
            ("aws:ec2launchtemplate:id".to_owned(), template.to_owned()),
            ("aws:ec2launchtemplate:version".to_owned(), self.number.to_string()),
        ])
    }
}

/// Who makes a template or a version, and when.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    pub arn: &'a str,
    pub now: OffsetDateTime,
}

impl Ec2 {
    /// A template with its first version; the answer is its ID.
    pub fn create_template(
        &mut self,
        ids: &mut Ids,
        name: &str,
        description: Option<String>,
        spec: LaunchSpec,
        by: Author<'_>,
    ) -> Result<String, ServiceError> {
        if self.templates.values().any(|held| held.name == name) {
            return Err(ServiceError::client(
                "InvalidLaunchTemplateName.AlreadyExistsException",
                "Launch template name already in use.",
            ));
        }
        let (created_at, created_by) = (by.now, by.arn.to_owned());
        let first = TemplateVersion {
            number: 1,
            created_at,
            created_by: created_by.clone(),
            description,
            spec,
        };
        let template = LaunchTemplate {
            id: ids.resource("lt"),
            name: name.to_owned(),
            created_at,
            created_by,
            default_version: 1,
            versions: BTreeMap::from([(1, first)]),
        };
        let id = template.id.clone();
        self.templates.insert(id.clone(), template);
        Ok(id)
    }

    /// One more version, made of `spec` over the source version if there is one.
    pub fn create_template_version(
        &mut self,
        template: &TemplateName,
        source: Option<&str>,
        description: Option<String>,
        spec: LaunchSpec,
        by: Author<'_>,
    ) -> Result<u64, ServiceError> {
        let held = self.template_mut(template)?;
        let spec = match source {
            Some(source) => spec.over(held.version(Some(source))?.spec.clone()),
            None => spec,
        };
        let number = held.latest_version() + 1;
        let version = TemplateVersion {
            number,
            created_at: by.now,
            created_by: by.arn.to_owned(),
            description,
            spec,
        };
        held.versions.insert(number, version);
        Ok(number)
    }

    /// Makes `$Default` mean another version.
    pub fn set_default_version(
        &mut self,
        template: &TemplateName,
        version: &str,
    ) -> Result<(), ServiceError> {
        let held = self.template_mut(template)?;
        held.default_version = held.version(Some(version))?.number;
        Ok(())
    }

    pub fn delete_template(
        &mut self,
        template: &TemplateName,
    ) -> Result<LaunchTemplate, ServiceError> {
        let id = self.template(template)?.id.clone();
        self.tags.remove(&id);
        self.templates.remove(&id).ok_or_else(|| template.missing())
    }

    pub fn template(&self, name: &TemplateName) -> Result<&LaunchTemplate, ServiceError> {
        let found = match name {
            TemplateName::Id(id) => self.templates.get(id),
            TemplateName::Name(name) => self.templates.values().find(|held| held.name == *name),
        };
        found.ok_or_else(|| name.missing())
    }

    fn template_mut(&mut self, name: &TemplateName) -> Result<&mut LaunchTemplate, ServiceError> {
        let id = self.template(name)?.id.clone();
        self.templates.get_mut(&id).ok_or_else(|| name.missing())
    }
}

impl TemplateName {
    fn missing(&self) -> ServiceError {
        match self {
            Self::Id(id) => ServiceError::client(
                "InvalidLaunchTemplateId.NotFound",
                format!("The specified launch template, with template ID {id}, does not exist."),
            ),
            Self::Name(name) => ServiceError::client(
                "InvalidLaunchTemplateName.NotFoundException",
                format!(
                    "The specified launch template, with template name {name}, does not exist."
                ),
            ),
        }
    }
}
