{{/*
The parts of a pod with runlog beside training, for charts that have this one as a dependency. They are what
`runlog inject` adds; a test compares both. Each takes a dict: `chart`, which is .Subcharts.runlog in such a chart, and
`jobLabel`, the label that names the pod's job, or nothing; `runlog.variables` also takes `container`, its name.

    initContainers:
      {{- include "runlog.initContainers" (dict "chart" .Subcharts.runlog "jobLabel" "batch.kubernetes.io/job-name") | nindent 6 }}
    containers:
      - name: trainer
        command:
          {{- include "runlog.command" . | nindent 10 }}
          - python
          - train.py
*/}}

{{- define "runlog.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
{{- end }}

{{- define "runlog.endpoint" -}}
{{ required "set endpoint, such as http://collector.monitoring:4318" .Values.endpoint | quote }}
{{- end }}

{{- define "runlog.headers" -}}
{{- with .Values.headersSecret }}
{{- if .name -}}
- name: RUNLOG_EXPORT_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- end }}

{{/* What says which pod and run it is. */}}
{{- define "runlog.identity" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- with .jobLabel }}
- name: K8S_JOB_NAME
  valueFrom:
    fieldRef:
      fieldPath: "metadata.labels['{{ . }}']"
{{- end }}
- name: RUNLOG_LEVEL
  value: {{ .chart.Values.level }}
{{- with .chart.Values.experiment }}
- name: RUNLOG_EXPERIMENT
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/* As Pod Security's `restricted` wants it. */}}
{{- define "runlog.restricted" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* runlog's share. No limit of CPU: it would only make the end of the job wait for its last lines. */}}
{{- define "runlog.resources" -}}
requests:
  cpu: "20m"
  memory: "48Mi"
limits:
  memory: "128Mi"
{{- end }}

{{- define "runlog.initContainers" -}}
- name: runlog-furnish
  image: {{ include "runlog.image" .chart }}
  args: ["furnish", "/mnt/runlog"]
  securityContext:
    {{- include "runlog.restricted" . | nindent 4 }}
  resources:
    {{- include "runlog.resources" . | nindent 4 }}
  volumeMounts:
    - name: runlog
      mountPath: /mnt/runlog
- name: runlog
  image: {{ include "runlog.image" .chart }}
  restartPolicy: Always
  args: ["agent"]
  env:
    - name: RUNLOG_FILES
      value: "/mnt/runlog/logs/**/*.log"
    - name: RUNLOG_OTLP_LISTEN
      value: "127.0.0.1:4317,127.0.0.1:4318"
    - name: RUNLOG_STATE_DIR
      value: /var/lib/runlog
    {{- include "runlog.identity" . | nindent 4 }}
    - name: RUNLOG_EXPORT_ENDPOINT
      value: {{ include "runlog.endpoint" .chart }}
    {{- with include "runlog.headers" .chart }}{{ . | nindent 4 }}{{ end }}
  startupProbe:
    exec:
      command: ["/runlog", "status"]
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 60
  livenessProbe:
    exec:
      command: ["/runlog", "status"]
    periodSeconds: 30
    timeoutSeconds: 5
    failureThreshold: 4
  securityContext:
    {{- include "runlog.restricted" . | nindent 4 }}
  resources:
    {{- include "runlog.resources" . | nindent 4 }}
  volumeMounts:
    - name: runlog
      mountPath: /mnt/runlog
    - name: runlog-state
      mountPath: /var/lib/runlog
{{- end }}

{{- define "runlog.volumes" -}}
- name: runlog
  emptyDir:
    sizeLimit: "10Gi"
- name: runlog-state
  emptyDir:
    sizeLimit: "3Gi"
{{- end }}

{{- define "runlog.variables" -}}
- name: RUNLOG_STATE_DIR
  value: /mnt/runlog/state-{{ .container }}
{{ include "runlog.identity" . }}
- name: RUNLOG_EXPORT_COMPRESSION
  value: zstd
- name: RUNLOG_EXPORT_ENDPOINT
  value: "http://127.0.0.1:4318"
{{- end }}

{{- define "runlog.volumeMounts" -}}
- name: runlog
  mountPath: /mnt/runlog
{{- end }}

{{- define "runlog.command" -}}
- /mnt/runlog/bin/runlog
- exec
- "--quiet"
- "--"
{{- end }}
