-- Health of an InferenceProfileClass: whether it can be used, and whether its wave of restarts has stopped.
-- How many of its bindings are Ready is their own health.
local hs = {}
hs.status = "Progressing"
hs.message = "Waiting until the operator has looked at the spec"

if obj.status == nil or obj.status.conditions == nil
  or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end

for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Ready" or condition.type == "RolloutHealthy" then
    if condition.status == "False" then
      hs.status = "Degraded"
      hs.message = condition.message
      return hs
    elseif condition.type == "Ready" and condition.status == "True" then
      hs.status = "Healthy"
      hs.message = condition.message
    end
  end
end
return hs
