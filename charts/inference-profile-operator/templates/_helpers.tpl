{{- define "inference-profile-operator.fullname" -}}
{{- printf "%s-inference-profile-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "inference-profile-operator.labels" -}}
app.kubernetes.io/name: inference-profile-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
