//! The marks in the tables of `catalog list` and `catalog matrix`, and what they mean.

use super::selection::ListedRoute;
use crate::types::ON_DEMAND;

/// The mark of legacy models.
pub(super) const LEGACY: &str = "LEGACY";
/// The mark of models whose life has ended.
pub(super) const ENDED: &str = "ENDED";

/// Adds a line that explains the marks of what is shown, if there are any.
pub(super) fn with_legend(remark: String, routes: &[ListedRoute]) -> String {
    let on_demand = routes.iter().any(ListedRoute::is_on_demand).then(|| {
        format!("{ON_DEMAND}: invoked by the model's own ID, without a profile, and served in the source region")
    });
    let legacy = routes.iter().any(ListedRoute::is_legacy).then(|| {
        format!(
            "{LEGACY}: closed to new customers, and gone at the end of the model's life (`catalog lifecycle` has the dates)"
        )
    });
    let ended = routes
        .iter()
        .any(ListedRoute::has_ended)
        .then(|| format!("{ENDED}: the life of the model has ended, and requests fail"));
    let marks: Vec<String> = on_demand.into_iter().chain(legacy).chain(ended).collect();
    if marks.is_empty() {
        return remark;
    }
    format!("{remark}\n{}", marks.join("; "))
}
