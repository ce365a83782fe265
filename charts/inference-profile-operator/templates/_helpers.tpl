{{- define "inference-profile-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of most resources, and first part of the name of every cluster-scoped one. */}}
{{- define "inference-profile-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "inference-profile-operator.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "inference-profile-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* Labels of the release's pods, the one of the test included. */}}
{{- define "inference-profile-operator.releaseLabels" -}}
app.kubernetes.io/name: {{ include "inference-profile-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of the operator's pods. A Deployment never changes its selector: neither may these. */}}
{{- define "inference-profile-operator.selectorLabels" -}}
{{ include "inference-profile-operator.releaseLabels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object: the chart's own, and `commonLabels`, which never replace one of these. */}}
{{- define "inference-profile-operator.labels" -}}
{{ merge (include "inference-profile-operator.ownLabels" . | fromYaml) .Values.commonLabels | toYaml }}
{{- end -}}

{{- define "inference-profile-operator.ownLabels" -}}
{{ include "inference-profile-operator.selectorLabels" . }}
{{ include "inference-profile-operator.chartLabels" . }}
{{- end -}}

{{- define "inference-profile-operator.chartLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "inference-profile-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "inference-profile-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "inference-profile-operator.image" -}}
{{- with .Values.global.imageRegistry | default .Values.image.registry -}}{{ . }}/{{- end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest -}}
@{{ .Values.image.digest }}
{{- else -}}
:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* The release's own secrets and those of all charts, which may be named by their names alone; each once. */}}
{{- define "inference-profile-operator.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat .Values.imagePullSecrets .Values.global.imagePullSecrets -}}
{{- $names = append $names (kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name")) -}}
{{- end -}}
{{- range uniq $names }}
- name: {{ . | quote }}
{{- end -}}
{{- end -}}

{{/*
Says whether a kind of the Prometheus operator is rendered: nothing where it is not. A cluster that does not serve it would refuse
the whole release. `helm template` asks no cluster, and knows of the kinds in --api-versions alone.
*/}}
{{- define "inference-profile-operator.rendersMonitoring" -}}
{{- $served := .context.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- $mode := .context.Values.metrics.renderMode -}}
{{- if and (eq $mode "failIfMissing") (not $served) -}}
{{- fail (printf "the cluster does not serve the kind %s of monitoring.coreos.com/v1: install the Prometheus operator, or set metrics.renderMode to skipIfMissing; with helm template, which asks no cluster, to alwaysRender" .kind) -}}
{{- end -}}
{{- if or $served (eq $mode "alwaysRender") -}}yes{{- end -}}
{{- end -}}

{{/* The catalog as --catalog takes it. */}}
{{- define "inference-profile-operator.catalog" -}}
{{- if eq .Values.catalog.type "directory" -}}
directory:/etc/inference-profile-operator/catalog
{{- else -}}
{{- .Values.catalog.type -}}
{{- end -}}
{{- end -}}

{{/* The flag --region, or nothing where the environment names the region. */}}
{{- define "inference-profile-operator.regionArg" -}}
{{- $inEnvironment := false -}}
{{- range .Values.extraEnv -}}
{{- if has .name (list "AWS_REGION" "AWS_DEFAULT_REGION") -}}{{- $inEnvironment = true -}}{{- end -}}
{{- end -}}
{{- if .Values.region -}}
- --region={{ .Values.region }}
{{- else if not $inEnvironment -}}
{{- fail "no region: set region to the AWS region that workloads call Bedrock from, on EKS mostly the cluster's own (--set region=eu-west-1), or AWS_REGION in extraEnv" -}}
{{- end -}}
{{- end -}}

{{/* What the operator and the test share: environment, mounts, volumes. */}}
{{- define "inference-profile-operator.environment" -}}
- name: RUST_LOG
  value: {{ .Values.log.filter | quote }}
{{- with .Values.proxy.https }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.noProxy }}
- name: NO_PROXY
  value: {{ . | quote }}
{{- end }}
{{- if .Values.caBundle.configMap }}
- name: SSL_CERT_FILE
  value: /etc/inference-profile-operator/ca/{{ .Values.caBundle.key }}
{{- end }}
{{- if .Values.aws.useFIPS }}
- name: AWS_USE_FIPS_ENDPOINT
  value: "true"
{{- end }}
{{- if .Values.aws.useDualStack }}
- name: AWS_USE_DUALSTACK_ENDPOINT
  value: "true"
{{- end }}
{{- with .Values.aws.endpointURL }}
- name: AWS_ENDPOINT_URL_BEDROCK
  value: {{ . | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "inference-profile-operator.volumeMounts" -}}
{{- if eq .Values.catalog.type "directory" }}
- name: catalog
  mountPath: /etc/inference-profile-operator/catalog
  readOnly: true
{{- end }}
{{- if .Values.caBundle.configMap }}
- name: ca
  mountPath: /etc/inference-profile-operator/ca
  readOnly: true
{{- end }}
{{- if .Values.metrics.tokenSecret.name }}
- name: metrics-token
  mountPath: /etc/inference-profile-operator/metrics
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "inference-profile-operator.volumes" -}}
{{- if eq .Values.catalog.type "directory" }}
- name: catalog
  configMap:
    name: {{ .Values.catalog.configMap | quote }}
{{- end }}
{{- if .Values.caBundle.configMap }}
- name: ca
  configMap:
    name: {{ .Values.caBundle.configMap | quote }}
    items:
    - key: {{ .Values.caBundle.key | quote }}
      path: {{ .Values.caBundle.key | quote }}
{{- end }}
{{- if .Values.metrics.tokenSecret.name }}
- name: metrics-token
  secret:
    secretName: {{ .Values.metrics.tokenSecret.name | quote }}
    items:
    - key: {{ .Values.metrics.tokenSecret.key | quote }}
      path: token
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Fields of a pod's spec that the operator and the test share. */}}
{{- define "inference-profile-operator.podSpec" -}}
serviceAccountName: {{ include "inference-profile-operator.serviceAccountName" . }}
enableServiceLinks: false
{{- with include "inference-profile-operator.imagePullSecrets" . }}
imagePullSecrets:
{{ . }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .Values.hostNetwork }}
hostNetwork: true
{{- end }}
{{- with .Values.dnsPolicy | default (ternary "ClusterFirstWithHostNet" "" .Values.hostNetwork) }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraInitContainers }}
initContainers:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with include "inference-profile-operator.volumes" . | trim }}
volumes:
{{ . }}
{{- end }}
{{- end -}}
