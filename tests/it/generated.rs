//! Generated files are what the code gives.

use inference_profile_operator::api::custom_resource_definition;

#[test]
fn the_crd_is_current() {
    let file = std::fs::read_to_string("crds/inferenceprofilebindings.yaml").expect("the CRD");
    let (comment, content): (Vec<&str>, Vec<&str>) = file
        .split_inclusive('\n')
        .partition(|line| line.starts_with('#'));
    let generated = serde_yaml::to_string(&custom_resource_definition()).expect("YAML");
    assert!(
        content.concat() == generated,
        "crds/inferenceprofilebindings.yaml is not what src/api gives: run `make crds`"
    );
    assert!(
        comment.concat().contains("make crds"),
        "the file says how it is generated"
    );
}

#[test]
fn the_chart_has_the_same_crd() {
    let read = |path: &str| std::fs::read_to_string(path).expect("the CRD");
    assert!(
        read("charts/inference-profile-operator/files/inferenceprofilebindings.yaml")
            == read("crds/inferenceprofilebindings.yaml"),
        "the chart's copy is not crds/inferenceprofilebindings.yaml: run `make crds`"
    );
}
