//! Generated files are what the code gives.

use inference_profile_operator::api::{binding_definition, class_definition};

#[test]
fn the_crds_are_current() {
    for (name, definition) in [
        ("inferenceprofilebindings", binding_definition()),
        ("inferenceprofileclasses", class_definition()),
    ] {
        let path = format!("crds/{name}.yaml");
        let file = std::fs::read_to_string(&path).expect("the CRD");
        let (comment, content): (Vec<&str>, Vec<&str>) = file
            .split_inclusive('\n')
            .partition(|line| line.starts_with('#'));
        let generated = serde_yaml::to_string(&definition).expect("YAML");
        assert!(
            content.concat() == generated,
            "{path} is not what src/api gives: run `make crds`"
        );
        assert!(
            comment.concat().contains("make crds"),
            "the file says how it is generated"
        );
    }
}

#[test]
fn the_chart_has_the_same_crds() {
    let read = |path: &str| std::fs::read_to_string(path).expect("the CRD");
    for name in ["inferenceprofilebindings", "inferenceprofileclasses"] {
        assert!(
            read(&format!(
                "charts/inference-profile-operator/files/{name}.yaml"
            )) == read(&format!("crds/{name}.yaml")),
            "the chart's copy is not crds/{name}.yaml: run `make crds`"
        );
    }
}
