{{/*
A YAML value as an expression of CEL. `value` is what it is about; a text that is a key of `given` becomes the expression there.
Lists and maps of CEL are of one type each, so every value in them is wrapped as `dyn`.
*/}}
{{- define "tradewind.cel" -}}
{{- $given := .given }}
{{- if kindIs "map" .value }}{
  {{- range $index, $key := keys .value | sortAlpha }}{{ if $index }}, {{ end }}{{ $key | toJson }}: dyn({{ include "tradewind.cel" (dict "given" $given "value" (get $.value $key)) }})
  {{- end }}}
{{- else if kindIs "slice" .value }}[
  {{- range $index, $entry := .value }}{{ if $index }}, {{ end }}dyn({{ include "tradewind.cel" (dict "given" $given "value" $entry) }})
  {{- end }}]
{{- else if and (kindIs "string" .value) (hasKey $given (toString .value)) }}{{ get $given .value }}
{{- else if kindIs "float64" .value }}{{ int64 .value }}
{{- else }}{{ toJson .value }}
{{- end }}
{{- end }}

{{/* The file with the values of this release: YAML of `container`, `volumes` and `app`. Only ${TRUST} is still open. */}}
{{- define "tradewind.sidecar" -}}
{{- $file := .Files.Get "files/sidecar.yaml" | fromYaml }}
{{- $container := $file.container }}
{{- $fixed := list }}
{{- range $container.env }}{{ $fixed = append $fixed .name }}{{ end }}
{{- $settings := merge (deepCopy .Values.injection.settings) (dict "health_listen" (include "tradewind.listen" (dict "root" . "port" 4002))) $file.settings }}
{{- range $name, $_ := $settings }}
{{- if has (printf "TRADEWIND_%s" (upper $name)) $fixed }}{{ fail (printf "injection.settings.%s: the sidecar sets it itself" $name) }}{{ end }}
{{- end }}
{{- $_ := set $container "env" (concat $container.env (include "tradewind.variables" (dict "prefix" "TRADEWIND_" "settings" $settings) | fromYamlArray)) }}
{{- range $container.env }}
{{- if eq .value "${CONTROLLERS}" }}{{ $_ := set . "value" (include "tradewind.controllers" $) }}{{ end }}
{{- end }}
{{- $_ := set $container "image" (include "tradewind.image" (dict "root" . "image" .Values.gateway.image)) }}
{{- $_ := set $container "imagePullPolicy" .Values.image.pullPolicy }}
{{- with .Values.injection.resources }}{{ $_ := set $container "resources" . }}{{ end }}
{{- omit $file "settings" | toYaml }}
{{- end }}

{{/* Where pods get sidecars: neither in kube-system nor beside the controller. */}}
{{- define "tradewind.injectedNamespaces" -}}
matchExpressions:
- {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, {{ .Release.Namespace }}]}
{{- with .Values.injection.namespaceSelector.matchExpressions }}
{{ toYaml . }}
{{- end }}
{{- with .Values.injection.namespaceSelector.matchLabels }}
matchLabels: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
