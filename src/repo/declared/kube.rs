//! Kubernetes manifests: how the containers of a pod run an image.

use super::{
    Service, image_name,
    value::{Step, Value, at, documents, get, items, line_of, text_at, texts},
};

/// The containers of a file's manifests: the image's name, and how it is run. And how many documents are broken.
pub(super) fn containers(text: &str, shown: &str) -> (Vec<(String, Service)>, usize) {
    // Most YAML files of a repository are no manifests.
    let has = |word: &str| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some();
    if !has("kind:") || !has("image:") {
        return (Vec::new(), 0);
    }
    let (docs, unparsed) = documents(text);
    let mut out = Vec::new();
    for (before, part, doc) in &docs {
        let here = |path: &[Step<'_>]| format!("{shown}:{}", before + line_of(part, path));
        manifest(doc, &mut Vec::new(), &here, &mut out);
    }
    (out, unparsed)
}

fn manifest<'a>(
    doc: &'a Value,
    path: &mut Vec<Step<'a>>,
    here: &dyn Fn(&[Step<'_>]) -> String,
    out: &mut Vec<(String, Service)>,
) {
    let keys: &[&'static str] = match text_at(doc, "kind").as_deref() {
        Some("Pod") => &["spec"],
        Some("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job") => {
            &["spec", "template", "spec"]
        }
        Some("CronJob") => &["spec", "jobTemplate", "spec", "template", "spec"],
        Some("List") => {
            for (n, item) in get(doc, "items").map(items).unwrap_or_default().iter().enumerate() {
                let depth = path.len();
                path.extend([Step::Key("items"), Step::Item(n)]);
                manifest(item, path, here, out);
                path.truncate(depth);
            }
            return;
        }
        _ => return,
    };
    let Some(pod) = at(doc, keys) else { return };
    for list in ["initContainers", "containers"] {
        for (n, container) in get(pod, list).map(items).unwrap_or_default().iter().enumerate() {
            let Some(image) = text_at(container, "image") else { continue };
            let mut path = path.clone();
            path.extend(keys.iter().map(|k| Step::Key(k)));
            path.extend([Step::Key(list), Step::Item(n)]);
            let service = service(pod, container, here(&path));
            let mut probes: Vec<_> = ["livenessProbe", "readinessProbe", "startupProbe"]
                .iter()
                .filter_map(|probe| at(container, &[probe, "exec", "command"]).map(texts))
                .collect();
            probes.dedup();
            let image = image_name(&image);
            if probes.is_empty() {
                out.push((image, service));
                continue;
            }
            for probe in probes {
                out.push((image.clone(), Service { probe: Some(probe), ..service.clone() }));
            }
        }
    }
}

/// A container's own security context goes before its pod's.
fn service(pod: &Value, container: &Value, by: String) -> Service {
    let security = |key| {
        let own = at(container, &["securityContext", key]);
        own.or_else(|| at(pod, &["securityContext", key])).and_then(super::value::text)
    };
    let list = |key| get(container, key).map(items).unwrap_or_default();
    Service {
        by,
        user: security("runAsUser"),
        run_as_non_root: security("runAsNonRoot").is_some_and(|t| t == "true"),
        entrypoint: get(container, "command").map(texts),
        command: get(container, "args").map(texts),
        volumes: list("volumeMounts").iter().filter_map(|v| mounted(pod, v)).collect(),
        ports: list("ports").iter().filter_map(|p| text_at(p, "containerPort")).collect(),
        hooks: ["postStart", "preStop"]
            .iter()
            .filter_map(|hook| at(container, &["lifecycle", hook, "exec", "command"]).map(texts))
            .collect(),
        privileged: at(container, &["securityContext", "privileged"])
            .and_then(Value::as_bool)
            .unwrap_or(false),
        capabilities: at(container, &["securityContext", "capabilities", "add"])
            .map(texts)
            .unwrap_or_default(),
        ..Service::default()
    }
}

/// A mount as compose writes it: what is kept has a source, `claim:/data`; so has a folder of the host. A claim whose files
/// Kubernetes gives to a group of the pod (`fsGroup`) is open to every user.
fn mounted(pod: &Value, mount: &Value) -> Option<String> {
    let (name, path) = (text_at(mount, "name"), text_at(mount, "mountPath")?);
    let volumes = get(pod, "volumes").map(items).unwrap_or_default();
    let volume = volumes.iter().find(|v| text_at(v, "name") == name);
    let open = at(pod, &["securityContext", "fsGroup"]).is_some();
    let read_only = text_at(mount, "readOnly").is_some_and(|t| t == "true");
    // without an entry it is a claim of a StatefulSet
    let source = match volume {
        Some(v) if get(v, "hostPath").is_some() => at(v, &["hostPath", "path"]).and_then(super::value::text),
        Some(v) if get(v, "persistentVolumeClaim").is_none() => None,
        _ => name.filter(|_| !open),
    };
    let mode = if read_only { ":ro" } else { "" };
    Some(source.map_or_else(|| path.clone(), |s| format!("{s}:{path}{mode}")))
}
