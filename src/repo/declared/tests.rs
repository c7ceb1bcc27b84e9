use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

fn repo(files: &[(&str, &str)]) -> (TempDir, PathBuf, Arc<Declared>) {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let root = dir.path().canonicalize().unwrap();
    let declared = Declared::of(&root);
    (dir, root, declared)
}

/// Each build as `by context dockerfile target args`.
fn check(files: &[(&str, &str)], expect: &[&str]) -> Arc<Declared> {
    let (_dir, root, declared) = repo(files);
    let shown: Vec<String> = declared
        .builds()
        .iter()
        .map(|b| {
            let args: Vec<String> = b.args.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let unknown = b.unknown_args.iter().map(|k| format!("{k}=?"));
            let all: Vec<String> = args.into_iter().chain(unknown).collect();
            let target = b.target.as_deref().unwrap_or("-");
            let (context, file) = (relative(&b.context, &root), relative(&b.dockerfile, &root));
            format!("{} [{context}] {file} {target} {}", b.by, all.join(",")).trim_end().to_owned()
        })
        .collect();
    assert_eq!(shown, expect);
    declared
}

const FILES: &[(&str, &str)] = &[
    ("Dockerfile", "FROM x"),
    ("api/Dockerfile", "FROM x"),
    ("docker/web.Dockerfile", "FROM x"),
    ("web/a", ""),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    FILES.iter().chain(more).copied().collect()
}

#[test]
fn compose_files() {
    let text = "\
x-args: &args
  A: 1
services:
  api:
    build: ./api
    user: \"1000:1000\"
    command: npm run 'start dev'
    ports: [\"80:8080\", {target: 9090}]
    volumes:
      - ./api:/app
      - {type: bind, source: ./x, target: /x}
    healthcheck: {test: [CMD, curl, localhost]}
  web:
    privileged: true
    image: me/web:1
    build:
      context: .
      dockerfile: ${FILE:-docker/web.Dockerfile}
      target: prod
      args:
        <<: *args
        B: ${B}
        C:
  bad:
    build: ${NOWHERE}
  far:
    build: https://example.org/x.git
";
    let declared = check(
        &with(&[("compose.yaml", text), ("docker-compose.broken.yml", "a: [b\n")]),
        &[
            "compose.yaml:5 [api] api/Dockerfile -",
            "compose.yaml:16 [] docker/web.Dockerfile prod A=1,B=?,C=?",
        ],
    );
    assert_eq!(declared.unparsed, 1);
    let api = declared.builds()[0].service.as_ref().unwrap();
    assert_eq!(api.user.as_deref(), Some("1000:1000"));
    assert_eq!(api.command.as_deref().unwrap(), ["npm", "run", "start dev"]);
    assert_eq!(api.ports, ["80:8080", "9090"]);
    assert_eq!(api.volumes, ["./api:/app", "./x:/x"]);
    assert_eq!(api.probe.as_deref().unwrap(), ["curl", "localhost"]);
    let web = declared.builds()[1].service.as_ref().unwrap();
    assert!(web.privileged);
    assert_eq!(web.target.as_deref(), Some("prod"));
}

#[test]
fn compose_overrides() {
    let base = "services:\n  api:\n    build: api\n";
    let over = "services:\n  api:\n    user: app\n    build:\n      target: dev\n";
    let declared = check(
        &with(&[("docker-compose.yml", base), ("docker-compose.override.yml", over)]),
        &[
            "docker-compose.override.yml:4 [api] api/Dockerfile dev",
            "docker-compose.yml:3 [api] api/Dockerfile -",
        ],
    );
    assert_eq!(declared.builds()[0].service.as_ref().unwrap().user.as_deref(), Some("app"));
}

#[test]
fn bake_files() {
    let hcl = r#"
variable "TAG" { default = "1" }
group "default" { targets = ["api"] } // all
target "base" {
  args = { A = "x", B = upper("y") }
}
target "api" {
  inherits = ["base"]
  context = "./api"
  target = "t${TAG}"
  tags = ["me/api:${TAG}"]
}
target "bad" { context = "${NOWHERE}/x" }
"#;
    check(
        &with(&[("docker-bake.hcl", hcl)]),
        &["docker-bake.hcl:4 [] Dockerfile - A=x,B=?", "docker-bake.hcl:7 [api] api/Dockerfile t1 A=x,B=?"],
    );
    let json = "{\"target\": {\n \"api\": {\"context\": \"api\", \"args\": {\"X\": \"1\"}}}}";
    check(&with(&[("docker-bake.json", json)]), &["docker-bake.json:2 [api] api/Dockerfile - X=1"]);
}

#[test]
fn skaffold_files() {
    let text = "build:\n  artifacts:\n  - image: me/api\n    context: api\n    docker:\n      target: x\n      \
                buildArgs: {A: b, C: '{{.D}}'}\n  - image: other\n    ko: {}\n";
    check(&with(&[("skaffold.yaml", text)]), &["skaffold.yaml:3 [api] api/Dockerfile x A=b,C=?"]);
}

#[test]
fn workflows() {
    let text = "\
jobs:
  build:
    steps:
      - uses: actions/checkout@v4
      - uses: docker/build-push-action@v6
        with:
          context: .
          file: docker/web.Dockerfile
          build-args: |
            A=1
            B=${{ github.sha }}
      - uses: docker/build-push-action@v6
        with: {context: '${{ matrix.dir }}'}
      - run: |
          echo docker build .
          docker build -t x:${{ github.sha }} api
      - run: docker build .
        working-directory: api
";
    check(
        &with(&[(".github/workflows/ci.yml", text)]),
        &[
            ".github/workflows/ci.yml:5 [] docker/web.Dockerfile - A=1,B=?",
            ".github/workflows/ci.yml:16 [api] api/Dockerfile -",
            ".github/workflows/ci.yml:17 [api] api/Dockerfile -",
        ],
    );
}

#[test]
fn command_lines() {
    let make = "build:\n\t@cd api && docker build -t x:$(TAG) \\\n\t  --build-arg V=$(V) .\n\tdocker build -f docker/web.Dockerfile --target t .\n\
                \tdocker build $(ARGS) .\n\tdocker build --strange x .\n";
    let script = "cat <<EOF\ndocker build .\nEOF\n# docker build .\ndocker buildx build --push -f docker/web.Dockerfile --platform=$P . > log\n\
                  (cd api; docker build .)\ncd \"$HERE\"\ndocker build .\n";
    check(
        &with(&[("Makefile", make), ("ci/build.sh", script)]),
        &[
            "Makefile:2 [api] api/Dockerfile - V=?",
            "Makefile:4 [] docker/web.Dockerfile t",
            "ci/build.sh:5 [] docker/web.Dockerfile -",
            "ci/build.sh:6 [api] api/Dockerfile -",
        ],
    );
}

#[test]
fn manifests_and_bases() {
    let kube = "\
apiVersion: v1
---
kind: Deployment
spec:
  template:
    spec:
      securityContext: {runAsUser: 1000}
      containers:
        - name: side
          image: other
        - name: api
          image: docker.io/me/api:v2
          args: [serve]
          securityContext: {runAsNonRoot: true}
          livenessProbe:
            exec: {command: [cat, /ok]}
---
{{ broken }}: [
";
    let (_dir, root, declared) = repo(&with(&[
        ("compose.yaml", "services:\n  api:\n    image: me/api:${V}\n    build: api\n"),
        ("k8s/api.yaml", kube),
        ("other/Dockerfile", "ARG V=me\nFROM --platform=$P ${V}/api:1 AS x"),
        ("third/Dockerfile", "FROM scratch\nCOPY --from=me/api /a /a"),
    ]));
    let builds = declared.for_file(&root.join("api/Dockerfile"));
    assert_eq!(builds.len(), 2);
    let service = builds.iter().find_map(|b| b.service.as_ref().filter(|s| s.by.starts_with("k8s"))).unwrap();
    assert_eq!(service.by, "k8s/api.yaml:11");
    assert_eq!(service.user.as_deref(), Some("1000"));
    assert!(service.run_as_non_root);
    assert_eq!(service.command.as_deref().unwrap(), ["serve"]);
    assert_eq!(service.probe.as_deref().unwrap(), ["cat", "/ok"]);
    assert_eq!(declared.used_as_base(&root.join("api/Dockerfile")), ["other/Dockerfile", "third/Dockerfile"]);
    assert!(declared.used_as_base(&root.join("other/Dockerfile")).is_empty());
    assert_eq!(declared.sharing_context(&root.join("api")), [root.join("api/Dockerfile")]);
    assert_eq!(declared.unparsed, 1);
}

#[test]
fn variables() {
    let vars = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    let check =
        |text, expect: Option<&str>| assert_eq!(value::expand(text, &vars).as_deref(), expect, "{text}");
    check("x$A-${A}$$", Some("x1-1$"));
    check("${B:-${A}}/${B-c}", Some("1/c"));
    check("$B", None);
    check("${B}", None);
    check("${}", None);
    check("${A", None);
}

#[test]
fn hostile_files_do_no_harm() {
    let dollars = "$$".repeat(400_000);
    let nested = "${A:-".repeat(100_000);
    assert_eq!(value::expand(&dollars, &BTreeMap::new()).map(|t| t.len()), Some(400_000));
    assert_eq!(value::expand(&nested, &BTreeMap::new()), None);
    let full = format!("{}{}", "${A:-".repeat(1_000), "}".repeat(1_000));
    assert_eq!(value::expand(&full, &BTreeMap::new()), None);
    let brackets = format!("target \"x\" {{ a = {}", "[".repeat(400_000));
    let blocks = format!("target \"x\" {{ {}", "a { ".repeat(100_000));
    let circle = "target \"x\" { inherits = [\"x\",\"x\",\"x\",\"x\"] }".to_owned();
    let yaml = format!("services: {}", "[".repeat(100_000));
    check(
        &[
            ("a/docker-bake.hcl", &brackets),
            ("b/docker-bake.hcl", &blocks),
            ("c/docker-bake.hcl", &circle),
            ("compose.yml", &yaml),
        ],
        &[],
    );
}

#[test]
fn what_reaches_into_a_running_container() {
    let compose = "services:\n  api:\n    image: me/api\n    build: api\n    cap_add: [NET_ADMIN]\n    devices: [/dev/x:/dev/x]\n    \
                   pre_stop: [{command: ./stop.sh}]\n    develop: {watch: [{action: sync+restart, path: ., target: /app}]}\n";
    let skaffold = "build:\n  artifacts:\n  - image: me/api\n    context: api\n    sync: {manual: [{src: x, dest: .}]}\n\
                    deploy:\n  kubectl:\n    hooks:\n      after:\n      - host: {command: [true]}\n      - container: {command: [sh, -c, x]}\n";
    let kube = "kind: StatefulSet\nspec:\n  template:\n    spec:\n      volumes:\n      - {name: tmp, emptyDir: {}}\n      \
                - {name: host, hostPath: {path: /srv}}\n      - {name: old, persistentVolumeClaim: {claimName: c}}\n      \
                containers:\n      - image: me/api\n        securityContext: {capabilities: {add: [SYS_TIME]}}\n        \
                lifecycle: {preStop: {exec: {command: [sleep, '5']}}}\n        volumeMounts:\n        - {name: tmp, mountPath: /tmp}\n        \
                - {name: host, mountPath: /h, readOnly: true}\n        - {name: old, mountPath: /old}\n        - {name: new, mountPath: /new}\n";
    let services = |kube: &str| -> Vec<Service> {
        let files = [("compose.yaml", compose), ("skaffold.yaml", skaffold), ("k8s.yaml", kube)];
        let (_dir, root, declared) = repo(&with(&files));
        let builds = declared.for_file(&root.join("api/Dockerfile"));
        builds.iter().filter_map(|b| b.service.clone()).collect()
    };
    let all = services(kube);
    let of = |by: &str| all.iter().find(|s| s.by.starts_with(by)).unwrap_or_else(|| panic!("{by}"));
    let (compose, skaffold, pod) = (of("compose"), of("skaffold"), of("k8s"));
    assert!(compose.synced && skaffold.synced && !pod.synced);
    assert_eq!(compose.capabilities, ["NET_ADMIN"]);
    assert_eq!(compose.devices, ["/dev/x:/dev/x"]);
    assert_eq!(compose.hooks, [["./stop.sh"]]);
    assert_eq!(skaffold.hooks, [["sh", "-c", "x"]]);
    assert_eq!(pod.hooks, [["sleep", "5"]]);
    assert_eq!(pod.capabilities, ["SYS_TIME"]);
    assert_eq!(pod.volumes, ["/tmp", "/srv:/h:ro", "old:/old", "new:/new"]);
    let open = services(&kube.replace("volumes:\n", "securityContext: {fsGroup: 2000}\n      volumes:\n"));
    let pod = open.iter().find(|s| s.by.starts_with("k8s")).unwrap();
    assert_eq!(pod.volumes, ["/tmp", "/srv:/h:ro", "/old", "/new"]);
}
