{{- define "tradewind.fullname" -}}
{{- if contains "tradewind" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-tradewind{{ end }}
{{- end }}

{{/* What selects the pods of a component; never changes. */}}
{{- define "tradewind.selector" -}}
app.kubernetes.io/name: tradewind
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "tradewind.labels" -}}
{{ include "tradewind.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* `registry/repository:tag`, or `@digest`. */}}
{{- define "tradewind.image" -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "tradewind.gatewayImage" -}}
{{- include "tradewind.image" (dict "root" . "image" (ternary .Values.controller.image .Values.gateway.image .Values.gateway.shim)) }}
{{- end }}

{{/* Settings as variables; lists with commas. A number of Helm is a float, which only JSON writes without an exponent. */}}
{{- define "tradewind.variables" -}}
{{- $prefix := .prefix }}
{{- range $name, $value := .settings }}
- name: {{ $prefix }}{{ upper $name }}
  value: {{ if kindIs "slice" $value }}{{ join "," $value | quote }}{{ else if kindIs "string" $value }}{{ $value | quote }}{{ else }}{{ $value | toJson | quote }}{{ end }}
{{- end }}
{{- end }}

{{/* CPUs that a gateway requests, rounded up. */}}
{{- define "tradewind.workers" -}}
{{- $cpu := dig "requests" "cpu" "1" .Values.gateway.resources | toString }}
{{- if hasSuffix "m" $cpu }}{{ divf (trimSuffix "m" $cpu) 1000 | ceil | int }}{{ else }}{{ ceil $cpu | int }}{{ end }}
{{- end }}

{{- define "tradewind.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tradewind.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Labels, annotations and places of pods, of `controller` or `gateway`. */}}
{{- define "tradewind.podMetadata" -}}
{{- with .values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
labels:
  {{- include "tradewind.selector" . | nindent 2 }}
  {{- with .values.podLabels }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{- define "tradewind.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

{{/*
Of one revision, pods lie apart: on nodes, and in zones. Zones are no spread constraint: the scheduler heeds none of them for nodes that
lack the label of one, and most small clusters have no zones.
*/}}
{{- define "tradewind.spread" -}}
topologySpreadConstraints:
- topologyKey: kubernetes.io/hostname
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels: {{- include "tradewind.selector" . | nindent 6 }}
{{- if not .values.affinity }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: topology.kubernetes.io/zone
        matchLabelKeys: [pod-template-hash]
        labelSelector:
          matchLabels: {{- include "tradewind.selector" . | nindent 12 }}
{{- end }}
{{- end }}

{{/* How data planes reach the controllers: all of them, by the Service without an address. */}}
{{- define "tradewind.controllers" -}}
https://{{ include "tradewind.fullname" . }}-controller.{{ .Release.Namespace }}.svc:8443
{{- end }}

{{- define "tradewind.gatewayHost" -}}
{{ include "tradewind.fullname" . }}-gateway.{{ .Release.Namespace }}.svc
{{- end }}

{{/* `host:port` of what a program listens at. */}}
{{- define "tradewind.listen" -}}
{{- if contains ":" .root.Values.listen }}[{{ .root.Values.listen }}]{{ else }}{{ .root.Values.listen }}{{ end }}:{{ .port }}
{{- end }}

{{/* Whether this cluster can inject sidecars. */}}
{{- define "tradewind.canInject" -}}
{{- if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" }}yes{{ end }}
{{- end }}

{{/* Of what `helm test` makes, in the order of weights, and takes away again. */}}
{{- define "tradewind.hook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end }}
