{{- define "shop.image" -}}
{{ .Values.global.imageRegistry }}/{{ .Values.image.repository }}:{{ .Values.global.meta.x }}
{{- end }}
{{- $key := .Values.anthropic.claude.apiKeySecret }}
{{- $model := printf "anthropic.claude-%s" .Values.version }}
{{- $other := .Values.amazon.nova }}
{{- $profile := printf "%s.anthropic.claude-sonnet-%s" .Values.geography .Values.version }}
