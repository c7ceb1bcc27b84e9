//! What the image's config, and the services that run it, say that it needs.

use super::{Found, launch, low_port, needs_root};
use crate::{
    facts::{covers, is_root},
    knowledge::signals::{Place, Signal},
    options::Service,
    pass::{Input, Reason, Refusal},
};

/// Ports, volumes and environment of the config.
pub(super) fn config_is_unprivileged(input: &Input, stage: usize) -> Result<(), Refusal> {
    let facts = input.facts.stage(stage);
    for port in &facts.config.ports {
        let number = port.split(['/', '-']).next().and_then(|p| p.parse::<u32>().ok());
        match number {
            Some(number) if number < 1024 => return Err(low_port(number, "EXPOSE")),
            Some(_) => {}
            None => {
                return Err(Refusal::new(
                    Reason::VariableUnresolved,
                    format!("EXPOSE {port} has no known value: it may be a port below 1024"),
                    "give its variable a default",
                ));
            }
        }
    }
    if let Some(volume) = facts.config.volumes.first() {
        return Err(needs_root(
            format!(
                "VOLUME {volume}: what existing volumes hold belongs to root, and another user could not write it"
            ),
            "change the owner of existing volumes, then set USER by hand",
        ));
    }
    let signals = input.knowledge.signals();
    for variable in facts.end.variables.iter().filter(|v| !v.is_arg) {
        let Some(value) = &variable.value else {
            if signals.ports.variables.contains(&variable.name) {
                return Err(Refusal::new(
                    Reason::VariableUnresolved,
                    format!("{} has no known value: it may be a port below 1024", variable.name),
                    "give its ARG a default",
                ));
            }
            // a list that goes on with what the base has: its own part can be read
            let own = facts.config.env.iter().find(|(n, _)| *n == variable.name);
            let text = own.map_or_else(String::new, |(n, v)| format!("{n}={v}"));
            if let Some(signal) = signals.find(Place::Env, &text, "", "") {
                return Err(of_environment(&text, signal));
            }
            continue;
        };
        let text = format!("{}={value}", variable.name);
        if signals.ports.variables.contains(&variable.name) {
            let low = value.split([';', ',']).filter_map(launch::port_of).find(|p| (1..1024).contains(p));
            if let Some(port) = low {
                return Err(low_port(port, &format!("ENV {text}")));
            }
        }
        // what the base sets for its own tools says nothing of the program
        let of_base = facts.image.as_ref().is_some_and(|i| {
            variable.name != "PATH" && i.env.iter().any(|(n, v)| *n == variable.name && v == value)
        });
        if let Some(signal) = signals.find(Place::Env, &text, "", "").filter(|_| !of_base) {
            return Err(of_environment(&text, signal));
        }
    }
    let home = facts.end.cwd.as_deref().is_some_and(|d| covers("/root", d));
    if home {
        return Err(needs_root(
            "WORKDIR is below /root, which another user cannot read",
            "use another folder",
        ));
    }
    Ok(())
}

fn of_environment(text: &str, signal: &Signal) -> Refusal {
    needs_root(format!("ENV {text}: {}", signal.why), "set USER by hand if it works without root")
}

/// The services that run this stage.
pub(super) fn services<'a>(input: &'a Input, stage: usize) -> impl Iterator<Item = &'a Service> {
    let is_last = stage + 1 == input.graph.stages().len();
    let of_stage = move |target: &Option<String>| match target {
        Some(name) => input.graph.find_stage(name).is_some_and(|s| s.index == stage),
        None => is_last,
    };
    input.options.deployment.services.iter().filter(move |s| of_stage(&s.target))
}

/// What compose and Kubernetes files say of how the image is run.
pub(super) fn services_are_unprivileged(
    input: &Input,
    stage: usize,
    found: &mut Found,
) -> Result<(), Refusal> {
    let unlock = "set USER by hand if it works without root";
    for service in services(input, stage) {
        let by = &service.by;
        if service.privileged {
            return Err(needs_root(format!("{by} runs it privileged"), unlock));
        }
        if service.synced {
            let why = "the user could not write them";
            return Err(needs_root(format!("{by} puts files into the running container: {why}"), unlock));
        }
        if let Some(capability) = service.capabilities.first() {
            let why = "a capability that is added counts for root alone";
            return Err(needs_root(format!("{by} adds {capability}: {why}"), unlock));
        }
        for device in &service.devices {
            if let Some(signal) = input.knowledge.signals().find(Place::Volume, device, "", "") {
                return Err(needs_root(format!("{by} gives it {device}: {}", signal.why), unlock));
            }
        }
        match &service.user {
            Some(user) if is_root(user) => {
                return Err(needs_root(format!("{by} runs it as root"), "remove `user` there"));
            }
            Some(user) => found.evidence.push(format!("{by} runs it as user {user} already")),
            None => {}
        }
        found.by_number |= service.run_as_non_root;
        for port in &service.ports {
            let inner = port.rsplit(':').next().unwrap_or(port).split('/').next().unwrap_or_default();
            if let Some(port) = inner.parse::<u32>().ok().filter(|p| *p < 1024) {
                return Err(low_port(port, by));
            }
        }
        for volume in &service.volumes {
            if let Some(signal) = input.knowledge.signals().find(Place::Volume, volume, "", "") {
                return Err(needs_root(format!("{by} mounts {volume}: {}", signal.why), unlock));
            }
            let mut parts = volume.split(':');
            let (source, target) = (parts.next().unwrap_or_default(), parts.next());
            let is_named =
                target.is_some_and(|t| t.starts_with('/')) && !source.starts_with(['/', '.', '~', '$']);
            if is_named && !volume.ends_with(":ro") {
                return Err(needs_root(
                    format!("{by} mounts the volume {volume}: what it holds already belongs to root"),
                    "change the owner of the existing volume, then set USER by hand",
                ));
            }
        }
    }
    Ok(())
}
