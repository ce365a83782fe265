-- Health of an InferenceProfileBinding: what its condition Ready says of the present spec.
-- Argo CD itself shows an object that is being deleted as Progressing, before it asks here.
local hs = {}
hs.status = "Progressing"
hs.message = "Waiting until the operator has looked at the spec"

if obj.status == nil or obj.status.conditions == nil
  or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local ready = nil
local suspended = false
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Ready" then
    ready = condition
  elseif condition.type == "Suspended" then
    suspended = condition.status == "True"
  end
end
if ready == nil then
  return hs
end

hs.message = ready.message
if ready.status == "False" then
  -- Also while suspended: workloads have no value that serves the spec.
  hs.status = "Degraded"
elseif suspended then
  hs.status = "Suspended"
elseif ready.status == "True" then
  hs.status = "Healthy"
end
return hs
