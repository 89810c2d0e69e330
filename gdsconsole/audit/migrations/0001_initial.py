"""The audit log, with the triggers that make it append-only."""

from django.db import migrations, models

from gdsconsole.audit import triggers


def create_triggers(apps, schema_editor):
    triggers.create(schema_editor.connection)


def drop_triggers(apps, schema_editor):
    triggers.drop(schema_editor.connection)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('actor', models.CharField(max_length=160)),
                ('action', models.CharField(max_length=60)),
                ('sentence', models.CharField(max_length=500)),
                ('target', models.CharField(blank=True, max_length=255)),
                ('target_url', models.CharField(blank=True, max_length=300)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('outcome', models.CharField(choices=[('done', 'Done'), ('refused', 'Refused'), ('failed', 'Failed')], max_length=8)),
                ('details', models.TextField(blank=True)),
                ('previous', models.CharField(max_length=64)),
                ('digest', models.CharField(max_length=64)),
                ('key', models.CharField(blank=True, default='', max_length=16)),
            ],
            options={
                'ordering': ['-number'],
                'permissions': [('read_entries', 'Can read what people did'), ('read_access', 'Can also read sign-ins and refused attempts')],
                'default_permissions': (),
                'indexes': [models.Index(fields=['at'], name='audit_at'), models.Index(fields=['actor', 'number'], name='audit_actor'), models.Index(fields=['action', 'number'], name='audit_action'), models.Index(fields=['target', 'number'], name='audit_target')],
                'constraints': [models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='audit_number_from_one'), models.CheckConstraint(condition=models.Q(('outcome__in', ['done', 'refused', 'failed'])), name='audit_outcome_known')],
            },
        ),
        migrations.CreateModel(
            name='AuditHead',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('number', models.BigIntegerField(default=0)),
                ('digest', models.CharField(default='0000000000000000000000000000000000000000000000000000000000000000', max_length=64)),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='audit_one_head')],
            },
        ),
        migrations.CreateModel(
            name='RefusalCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(max_length=60)),
                ('name', models.CharField(blank=True, max_length=255)),
                ('actor', models.CharField(max_length=160)),
                ('sentence', models.CharField(max_length=500)),
                ('target', models.CharField(blank=True, max_length=255)),
                ('total', models.BigIntegerField()),
                ('waiting', models.BigIntegerField()),
                ('since', models.DateTimeField()),
                ('last_at', models.DateTimeField()),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('action', 'name'), name='audit_one_count')],
            },
        ),
        migrations.RunPython(create_triggers, drop_triggers),
    ]
